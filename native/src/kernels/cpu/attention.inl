// Attention over bf16 keys and values, once for every instruction set; included by narrow.inl, whose
// bf16Tile does all products. Softmax and every sum are fp32; queries, weights P and their gradients
// are rounded to bf16 where they enter a product.
//
// A page holds kPage tokens: keys [D/2][kPage][2], values [kPage/2][D][2], so that both are B operands.
//
// Forward, up to kPage query rows of one head: blocks of 4 pages, counted from position 0.
//   S [rows][128] = Q K^T;  P = exp(S - running maximum);  O = O exp(old - new maximum) + P V
//
// Backward, one head, tiles of 64 queries x 64 keys, everything transposed so that the queries are the
// lanes: S^T = K Q^T, dP^T = V dO^T, P^T = exp(S^T - lse), dS^T = P^T (dP^T - delta), and then
//   dV += P^T dO,  dK += dS^T Q,  dQ^T += K^T dS^T.
// Where products of bf16 are those of widened numbers (dot256.inl), fp32's backward pass is taken instead: it has nothing to
// round and nothing to widen.

namespace {

using hindsight::AttentionArgs;
using hindsight::AttentionBackwardArgs;
using hindsight::kAttentionBlock;
using hindsight::kAttentionTile;
using hindsight::kPage;
using hindsight::padded32;

/// C[m][16 strips] (+)= the parts, whose A start at row 0.
inline void product(int m, BfTile t) {
#ifdef NARROW_OWN_PRODUCTS
  return bf16Tile(m, t);
#endif
  const int blocks = blockCount(m, mostRows(t.strips));
  BfTile here = t;
  TileWalk tile(m, blocks);
  for (int i = 0; i < blocks; ++i, tile.next()) {
    for (int j = 0; j < t.parts; ++j) here.part[j].a = t.part[j].a + tile.start() * t.part[j].lda;
    here.c = t.c + tile.start() * t.ldc;
    bf16Tile(tile.rows(), here);
  }
}

/// The same over d columns, 64 at a time; B is [.][d][2].
inline void wideProduct(int m, int d, BfTile t) {
  t.ldb = 2 * d;
  for (int d0 = 0; d0 < d; d0 += kNarrowPanel) {
    t.strips = (d - d0 < kNarrowPanel ? d - d0 + 15 : kNarrowPanel) / 16;
    product(m, t);
    for (int j = 0; j < t.parts; ++j) t.part[j].b += 2 * kNarrowPanel;
    t.c += kNarrowPanel;
  }
}

void halfAttention(const AttentionArgs& g, int head, int r0, int r1, float* scratch) {
  const int d = g.headDim, wide = padded32(d), rows = r1 - r0, width = g.heads * d;
  float* scores = scratch;                          // [rows][128]
  float* out = scores + kPage * kAttentionBlock;    // [rows][wide]
  auto* q = reinterpret_cast<uint16_t*>(out + kPage * wide);  // [rows][d]
  uint16_t* p = q + kPage * d;                      // [rows][128]
  float top[kPage], line[kWidth];
  Vec sum[kPage];
  for (int i = 0; i < rows; ++i) {
    const float* from = g.q + static_cast<size_t>(r0 + i) * width + head * d;
    int j = 0;
    for (; j + kWidth <= d; j += kWidth) storeHalf(q + i * d + j, load(from + j) * g.scale);
    for (; j < d; ++j) {
      const float value = from[j] * g.scale;
      toBf16(&value, 1, q + i * d + j);
    }
    top[i] = -1e30f;
    sum[i] = Vec{};
  }
  const size_t kvHead = static_cast<size_t>(head / (g.heads / g.kvHeads)) * d * kPage;
  const int last = g.start + r1 - 1;
  for (int base = 0; base <= last; base += kAttentionBlock) {
    int pages = (last - base) / kPage + 1;
    if (pages > kAttentionBlock / kPage) pages = kAttentionBlock / kPage;
    const int keys = pages * kPage;
    BfTile values{};
    values.parts = pages;
    for (int j = 0; j < pages; ++j) {
      const float* page = g.pages[base / kPage + j];
      product(rows, {{{q, d, reinterpret_cast<const uint16_t*>(page + g.keyOffset) + kvHead, d / 2}}, 1, scores + j * kPage, kPage / 16, false, 2 * kPage, kAttentionBlock, {}, {}});
      values.part[j] = {p + j * kPage, kAttentionBlock, reinterpret_cast<const uint16_t*>(page + g.valueOffset) + kvHead, kPage / 2};
    }
    for (int i = 0; i < rows; ++i) {
      float* row = scores + i * kAttentionBlock;
      uint16_t* to = p + i * kAttentionBlock;
      const int valid = g.start + r0 + i - base + 1;
      if (valid <= 0) {
        for (int j = 0; j < keys; ++j) to[j] = 0;
        continue;
      }
      for (int j = valid; j < keys; ++j) row[j] = -1e30f;
      Vec best = load(row);
      for (int j = kWidth; j < keys; j += kWidth) best = larger(best, load(row + j));
      const float here = maxLanes(best);
      if (here > top[i]) {
        if (base > 0) {
          store(line, expVec(splat(top[i] - here)));
          sum[i] *= line[0];
          for (int j = 0; j < wide; j += kWidth) store(out + i * wide + j, load(out + i * wide + j) * line[0]);
        }
        top[i] = here;
      }
      for (int j = 0; j < keys; j += kWidth) {
        const Vec e = expVec(load(row + j) - top[i]);
        sum[i] += e;
        storeHalf(to + j, e);
      }
    }
    values.c = out;
    values.ldc = wide;
    values.add = base > 0;
    wideProduct(rows, d, values);
  }
  for (int i = 0; i < rows; ++i) {
    float* target = g.out + static_cast<size_t>(r0 + i) * width + head * d;
    const float total = sumLanes(sum[i]), inverse = 1.0f / total;
    for (int j = 0; j < d; ++j) target[j] = out[i * wide + j] * inverse;
    if (g.lse) g.lse[static_cast<size_t>(head) * g.rows + r0 + i] = top[i] + __builtin_logf(total);
  }
}

#ifdef NARROW_OWN_PRODUCTS
constexpr auto kHalfAttentionBackward = attentionBackward;
#else
/// out[n][2] = the pairs (even[i], odd[i]) times scale.
void pairRows(const float* even, const float* odd, int n, float scale, uint16_t* out) {
  const int whole = n / kWidth * kWidth;
  for (int i = 0; i < whole; i += kWidth)
    storeInts(out + 2 * i, halfPairs(load(even + i) * scale, load(odd + i) * scale));
  for (int i = whole; i < n; ++i) {
    const float pair[2] = {even[i] * scale, odd[i] * scale};
    toBf16(pair, 2, out + 2 * i);
  }
}

/// Rows of one head in all the forms the backward pass reads.
struct HeadTile {
  uint16_t *across;  // [d/2][64][2], pairs of inputs
  uint16_t *along;   // [32][d][2], pairs of rows
};
void turn(const float* x, long ldx, int rows, int d, float scale, float* transposed, const HeadTile& out) {
  constexpr int n = kAttentionTile;
  if (rows < n)
    for (int i = 0; i < d * n; ++i) transposed[i] = 0.0f;
  transposeBlock(x, ldx, rows, d, scale, transposed, n);
  for (int i = 0; i < d; i += 2) pairRows(transposed + i * n, transposed + (i + 1) * n, n, 1.0f, out.across + i * n);
  for (int r = 0; r < n; r += 2) {
    uint16_t* to = out.along + r * d;
    if (r + 1 < rows) {
      pairRows(x + r * ldx, x + (r + 1) * ldx, d, scale, to);
    } else {
      for (int i = 0; i < 2 * d; ++i) to[i] = 0;
      if (r < rows)
        for (int i = 0; i < d; ++i) {
          const float value = x[r * ldx + i] * scale;
          toBf16(&value, 1, to + 2 * i);
        }
    }
  }
}

/// Asks for the rows of one head: they lie far apart, and were written long ago.
inline void bringRows(const float* x, long ldx, int rows, int d) {
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < d; i += 16) __builtin_prefetch(x + r * ldx + i, 0, 2);
}

void halfAttentionBackward(const AttentionBackwardArgs& g, int item, float* scratch) {
  constexpr int n = kAttentionTile;
  const int first = item / g.parts * g.span, kvHead = first / (g.heads / g.kvHeads), begin = hindsight::backwardStart(g.rows, g.parts, item % g.parts), s = hindsight::backwardStart(g.rows, g.parts, item % g.parts + 1);
  const int d = g.headDim, wide = padded32(d), padded = (s + n - 1) / n * n;
  const int width = g.heads * d, kvWidth = g.kvHeads * d;
  float* dk = scratch;                                  // [padded][wide]
  float* dv = dk + static_cast<size_t>(padded) * wide;  // [padded][wide]
  float* turned = dv + static_cast<size_t>(padded) * wide;  // [d][64]
  float* dqT = turned + d * n;                          // [d][64]
  float* scores = dqT + d * n;                          // S^T [64 keys][64]
  float* dScores = scores + n * n;                      // dP^T
  auto* kRows = reinterpret_cast<uint16_t*>(dScores + n * n);         // [padded][d]
  uint16_t* vRows = kRows + static_cast<size_t>(padded) * d;          // [padded][d]
  uint16_t* kT = vRows + static_cast<size_t>(padded) * d;             // [d][padded]
  uint16_t* p = kT + static_cast<size_t>(padded) * d;                 // P^T [64][64]
  uint16_t* ds = p + n * n;                                           // dS^T [64][64]
  uint16_t* dsPairs = ds + n * n;                                     // [32][64][2]
  const HeadTile q{dsPairs + n * n, dsPairs + n * n + n * d};
  const HeadTile o{q.along + n * d + 2 * kNarrowPanel, q.along + 2 * n * d + 2 * kNarrowPanel};
  for (int base = 0; base < padded; base += n) {
    const int count = s - base < n ? s - base : n;
    const float* keys = g.k + static_cast<size_t>(base) * kvWidth + kvHead * d;
    const float* values = g.v + static_cast<size_t>(base) * kvWidth + kvHead * d;
    for (int r = 0; r < n; ++r) {
      uint16_t *kTo = kRows + static_cast<size_t>(base + r) * d, *vTo = vRows + static_cast<size_t>(base + r) * d;
      if (r < count) {
        toBf16(keys + static_cast<size_t>(r) * kvWidth, d, kTo);
        toBf16(values + static_cast<size_t>(r) * kvWidth, d, vTo);
      } else {
        for (int i = 0; i < d; ++i) kTo[i] = vTo[i] = 0;
      }
    }
    if (count < n)
      for (int i = 0; i < d * n; ++i) turned[i] = 0.0f;
    transposeBlock(keys, kvWidth, count, d, 1.0f, turned, n);
    for (int i = 0; i < d; ++i) toBf16(turned + i * n, n, kT + static_cast<size_t>(i) * padded + base);
  }
  for (int head = first; head < first + g.span; ++head)
    for (int q0 = begin; q0 < s; q0 += n) {
      const int rows = s - q0 < n ? s - q0 : n;
      const size_t at = static_cast<size_t>(q0) * width + head * d;
      turn(g.q + at, width, rows, d, g.scale, turned, q);
      turn(g.dOut + at, width, rows, d, 1.0f, turned, o);
      float delta[n], lse[n];
      for (int r = 0; r < n; ++r) {
        delta[r] = r < rows ? dot(g.dOut + at + static_cast<size_t>(r) * width, g.out + at + static_cast<size_t>(r) * width, d) : 0.0f;
        lse[r] = r < rows ? g.lse[static_cast<size_t>(head) * g.rows + q0 + r] : 1e30f;
      }
      const float* queries[] = {g.q, g.dOut, g.out};
      if (q0 + n < s)
        for (const float* x : queries) bringRows(x + at + static_cast<size_t>(n) * width, width, s - q0 - n < n ? s - q0 - n : n, d);
      for (int k0 = 0; k0 <= q0; k0 += n) {
        product(n, {{{kRows + static_cast<size_t>(k0) * d, d, q.across, d / 2}}, 1, scores, n / 16, false, 2 * n, n, {}, {}});
        product(n, {{{vRows + static_cast<size_t>(k0) * d, d, o.across, d / 2}}, 1, dScores, n / 16, false, 2 * n, n, {}, {}});
        for (int j = 0; j < n; j += 2)
          for (int r = 0; r < n; r += kWidth) {
            Vec slope[2];
#pragma GCC unroll 2
            for (int i = 0; i < 2; ++i) {
              const int at2 = (j + i) * n + r;
              Vec e = expVec(load(scores + at2) - load(lse + r));
              if (k0 == q0) e = (Vec)((VecI)e & (lanesFrom(0) >= j + i - r));  // not keys after the query
              slope[i] = e * (load(dScores + at2) - load(delta + r));
              storeHalf(p + at2, e);
              storeHalf(ds + at2, slope[i]);
            }
            storeInts(dsPairs + j * n + 2 * r, halfPairs(slope[0], slope[1]));
          }
        const size_t to = static_cast<size_t>(k0) * wide;
        wideProduct(n, d, {{{p, n, o.along, n / 2}}, 1, dv + to, 0, head > first || (k0 < q0 && q0 > begin), 0, wide, {}, {}});
        wideProduct(n, d, {{{ds, n, q.along, n / 2}}, 1, dk + to, 0, head > first || (k0 < q0 && q0 > begin), 0, wide, {}, {}});
        product(d, {{{kT + k0, padded, dsPairs, n / 2}}, 1, dqT, n / 16, k0 > 0, 2 * n, n, {}, {}});
      }
      transposeBlock(dqT, n, d, rows, g.scale, g.dq + at, width);
    }
  for (int r = 0; r < s; ++r)
    for (int i = 0; i < d; ++i) {
      const size_t to = g.copy(item) + static_cast<size_t>(r) * kvWidth + kvHead * d + i, from = static_cast<size_t>(r) * wide + i;
      g.dk[to] = dk[from];
      g.dv[to] = dv[from];
    }
}
constexpr auto kHalfAttentionBackward = halfAttentionBackward;
#endif

}  // namespace
