// Attention over bf16 keys and values for AVX2, forward; shapes and order of sums as in attention.inl, so that a row comes out the
// same whether it decodes alone there or is one of a prompt here.
//
// Method: the queries of all heads of a key head are the rows of one product, rounded and widened once, in the order in which
// tiles read them. Per block of keys a strip of 16 keys, and then of 16 columns of the values, is widened for all rows, and P is
// rounded where it lies:
//   S [rows][keys] = Q K^T;  P = exp(S - running maximum);  O [rows][D] = O exp(old - new maximum) + P V

namespace {

/// Distance of rows of scores, which is not a multiple of 1 KB.
constexpr int kScoreRow = kAttentionBlock + 16;

inline Vec roundedHalf(Vec v) { return (Vec)(roundedBits(v) & 0xffff0000u); }

/// Rows i: query first + i % count of head + i / count.
struct Queries {
  const AttentionArgs& g;
  int head, first, count, rows;
  size_t at(int row) const { return static_cast<size_t>(first + row % count) * g.heads * g.headDim + static_cast<size_t>(head + row / count) * g.headDim; }
};

/// Q, rounded: [tiles][D][rows of a tile].
inline void packQueries(const Queries& queries, float* out) {
  const AttentionArgs& g = queries.g;
  for (int r = 0; r < queries.rows; r += kTileRows) {
    const int rows = queries.rows - r < kTileRows ? queries.rows - r : kTileRows;
    const float* row[kTileRows];
    for (int i = 0; i < kTileRows; ++i) row[i] = g.q + queries.at(r + (i < rows ? i : rows - 1));
    packLanes(g.headDim, rows, out + static_cast<size_t>(r) * g.headDim, [&](int i, int lane) __attribute__((always_inline)) { return roundedHalf(load(row[i] + lane) * g.scale); });
  }
}

void spanAttention(const AttentionArgs& g, int head, int span, int r0, int r1, float* scratch) {
  const Queries queries{g, head, r0, r1 - r0, span * (r1 - r0)};
  const int d = g.headDim, wide = padded32(d), rows = queries.rows;
  // For one or two rows a head, as in decoding, keys and values are widened in registers.
  if (queries.count <= 2) {
    for (int i = 0; i < span; ++i) halfAttention(g, head + i, r0, r1, scratch);
    return;
  }
  float* strip = scratch;                                              // [D or keys][16]
  float* q = strip + kWide * (wide + kAttentionBlock);                 // [tiles][D][rows of a tile]
  float* scores = q + static_cast<size_t>(rows) * wide;                // [rows][kScoreRow], then P
  float* out = scores + static_cast<size_t>(rows) * kScoreRow;         // [rows][wide]
  float* sum = out + static_cast<size_t>(rows) * wide;                 // [rows][8]
  float* top = sum + static_cast<size_t>(rows) * kWidth;               // [rows]
  packQueries(queries, q);
  for (int i = 0; i < rows; ++i) {
    top[i] = -1e30f;
    store(sum + i * kWidth, Vec{});
  }
  const size_t kvHead = static_cast<size_t>(head / (g.heads / g.kvHeads)) * d * kPage;
  const int last = g.start + r1 - 1;
  for (int base = 0; base <= last; base += kAttentionBlock) {
    const int pages = last - base < kAttentionBlock ? (last - base) / kPage + 1 : kAttentionBlock / kPage, keys = pages * kPage;
    const auto page = [&](int j, size_t offset) { return reinterpret_cast<const uint16_t*>(g.pages[base / kPage + j] + offset) + kvHead; };
    for (int n = 0; n < keys && base + n <= last; n += kWide) {
      widenStrip(page(n / kPage, g.keyOffset) + 2 * (n % kPage), d / 2, strip, 2 * kPage);
      for (int i = 0; i < rows; i += kTileRows)
        stripTile<Vec, 0>(rows - i < kTileRows ? rows - i : kTileRows, {q + static_cast<size_t>(i) * d, strip, d, scores + static_cast<size_t>(i) * kScoreRow + n, kScoreRow, false, {}});
    }
    for (int i = 0; i < rows; ++i) {
      float* row = scores + static_cast<size_t>(i) * kScoreRow;
      const int valid = g.start + r0 + i % queries.count - base + 1;
      if (valid <= 0) {
        for (int j = 0; j < keys; ++j) row[j] = 0;
        continue;
      }
      for (int j = valid; j < keys; ++j) row[j] = -1e30f;
      Vec best = load(row);
      for (int j = kWidth; j < keys; j += kWidth) best = larger(best, load(row + j));
      const float here = maxLanes(best);
      Vec total = load(sum + i * kWidth);
      if (here > top[i]) {
        if (base > 0) {
          const Vec shrink = expVec(splat(top[i] - here));
          total *= shrink;
          for (int j = 0; j < wide; j += kWidth) store(out + static_cast<size_t>(i) * wide + j, load(out + static_cast<size_t>(i) * wide + j) * shrink);
        }
        top[i] = here;
      }
      for (int j = 0; j < keys; j += kWidth) {
        const Vec e = expVec(load(row + j) - top[i]);
        total += e;
        store(row + j, roundedHalf(e));
      }
      store(sum + i * kWidth, total);
    }
    for (int n = 0; n < d; n += kWide) {
      for (int j = 0; j < pages; ++j) widenStrip(page(j, g.valueOffset) + 2 * n, kPage / 2, strip + j * kPage * kWide, 2 * d);
      for (int i = 0; i < rows; i += kTileRows)
        stripTile<Vec, kScoreRow>(rows - i < kTileRows ? rows - i : kTileRows, {scores + static_cast<size_t>(i) * kScoreRow, strip, keys, out + static_cast<size_t>(i) * wide + n, wide, base > 0, {}});
    }
  }
  for (int i = 0; i < rows; ++i) {
    float* target = g.out + queries.at(i);
    const float total = sumLanes(load(sum + i * kWidth)), inverse = 1.0f / total;
    for (int j = 0; j < d; ++j) target[j] = out[static_cast<size_t>(i) * wide + j] * inverse;
    if (g.lse) g.lse[static_cast<size_t>(head + i / queries.count) * g.rows + r0 + i % queries.count] = top[i] + __builtin_logf(total);
  }
}

}  // namespace
