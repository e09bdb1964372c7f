// The products of few.h, on the tiles of narrow.inl; included there.

/// One row to 16 bits, split into bytes around 128; @returns the scale of the low byte.
float toWords(const float* x, int k, uint8_t* high, uint8_t* low) {
  const int whole = k / kWidth * kWidth;
  const float top = largest(x, k), inverse = top > 0 ? 32512.0f / top : 0.0f;
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23 rounds to an integer
  const auto words = [&](int at) { return (VecI)(load(x + at) * inverse + magic) - 0x4b400000; };
  const auto up = [](VecI n) { return ((n + 128) >> 8) + 128; };
  const auto down = [](VecI n) { return n - ((n + 128) >> 8) * 256 + 128; };
  int at = 0;
  for (; at + 4 * kWidth <= whole; at += 4 * kWidth) {
    const VecI n[] = {words(at), words(at + kWidth), words(at + 2 * kWidth), words(at + 3 * kWidth)};
    storeBytes(high + at, {up(n[0]), up(n[1]), up(n[2]), up(n[3])});
    storeBytes(low + at, {down(n[0]), down(n[1]), down(n[2]), down(n[3])});
  }
  for (; at < whole; at += kWidth) {
    storeBytes(high + at, up(words(at)));
    storeBytes(low + at, down(words(at)));
  }
  for (int i = whole; i < k; ++i) {
    const float shifted = x[i] * inverse + magic;
    const int n = lane(&shifted) - 0x4b400000, h = (n + 128) >> 8;
    high[i] = static_cast<uint8_t>(h + 128);
    low[i] = static_cast<uint8_t>(n - h * 256 + 128);
  }
  for (int i = k; i < padded4(k); ++i) high[i] = low[i] = 128;
  return top / 32512.0f;
}

/// All rows x the panel p. scratch: narrowScratch() floats.
void few(const FewArgs& g, int p, float* scratch) {
  const int n0 = p * kNarrowPanel, k = padded4(g.k);
  const int cols = g.n - n0 < kNarrowPanel ? g.n - n0 : kNarrowPanel, strips = (cols + 15) / 16;
  const bool bytes = g.xBytes != nullptr, widen = g.wScale && !bytes;
  const int rows = bytes ? 2 * g.m : g.m, blocks = blockCount(rows, kTileRows);
  auto* wide = reinterpret_cast<uint16_t*>(scratch + static_cast<size_t>(hindsight::kNarrowSpan) * kNarrowPanel);
  const int step = blocks == 1 && !widen ? k : kNarrowK;
  for (int k0 = 0; k0 < k; k0 += step) {
    const int length = k - k0 < step ? k - k0 : step;
    const size_t at = static_cast<size_t>(n0) * k + static_cast<size_t>(k0) * kNarrowPanel;
    const uint16_t* pairs = static_cast<const uint16_t*>(g.w) + at;
    if (widen) {
      widenBytes(static_cast<const int8_t*>(g.w) + at, length / 4, wide);
      pairs = wide;
    }
    TileWalk tile(rows, blocks);
    for (int i = 0; i < blocks; ++i, tile.next()) {
      const int first = tile.start(), count = tile.rows();
      float* c = scratch + static_cast<size_t>(first) * kNarrowPanel;
      if (bytes) int8Tile(count, {g.xBytes + static_cast<size_t>(first) * k + k0, k, static_cast<const int8_t*>(g.w) + at, length / 4, reinterpret_cast<int32_t*>(c), k0 > 0, nullptr, nullptr, nullptr, {}, {}});
      else bf16Tile(count, {{{g.x + static_cast<size_t>(first) * k + k0, k, pairs, length / 2}}, 1, c, strips, k0 > 0, 2 * kNarrowPanel, kNarrowPanel, {}, {}});
    }
  }
  if (bytes)
    for (int r = 0; r < g.m; ++r)
      for (int i = 0; i < kNarrowPanel; i += kWidth) {
        float *high = scratch + r * kNarrowPanel + i, *low = scratch + (g.m + r) * kNarrowPanel + i;
        const VecI offset = loadInts(g.wOffset + n0 + i);
        const Vec sum = __builtin_convertvector(loadInts(high) - offset, Vec) * 256.0f + __builtin_convertvector(loadInts(low) - offset, Vec);
        store(high, sum * (g.xScale[r] * load(g.wScale + n0 + i)));
      }
  else if (widen)
    for (int j = 0; j < g.m * kNarrowPanel; j += kWidth) store(scratch + j, load(scratch + j) * load(g.wScale + n0 + j % kNarrowPanel));
  for (int s = 0; s < g.segments; ++s) {
    const hindsight::FewLora& lora = g.lora[s];
    if (!lora.k) continue;
    const uint16_t* b = lora.b + static_cast<size_t>(n0) * padded4(lora.k);
    const int parts = blockCount(lora.rows, kTileRows);
    TileWalk tile(lora.rows, parts);
    for (int i = 0; i < parts; ++i, tile.next()) {
      const int first = tile.start(), count = tile.rows();
      const uint16_t* a = lora.inner + first * lora.ld;
      bf16Tile(count, {{{a, lora.ld, b, padded4(lora.k) / 2}}, 1, scratch + static_cast<size_t>(lora.first + first) * kNarrowPanel, strips, true, 2 * kNarrowPanel, kNarrowPanel, {}, {}});
    }
  }
  const Finish out{g.y + n0, g.n, g.bias ? g.bias + n0 : nullptr, g.residual ? g.residual + n0 : nullptr};
  if (cols < kNarrowPanel) return finishPart(out, scratch, g.m, cols);
  for (int r = 0; r < g.m; ++r)
    for (int i = 0; i < kNarrowPanel; i += kWidth) finish(out, r, i, load(scratch + r * kNarrowPanel + i));
}
