// transposePairs() of narrow.inl in 512-bit shuffles.

namespace {

/// 16 outputs x 16 inputs at a time: shuffles within 128 bits gather an output pair's inputs, three
/// rounds of wider shuffles bring the eight input pairs of one output pair together.
void transposePairs(const uint16_t* panel, int count, int width, uint16_t* out) {
  const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  if (width < kNarrowPanel || count % 16) {
    for (int n = 0; n < count; ++n)
      for (int i = 0; i < kNarrowPanel; ++i)
        out[(static_cast<size_t>(n / 2) * kNarrowPanel + i) * 2 + n % 2] = i < width ? panel[(static_cast<size_t>(i / 2) * kNarrowPanel + n) * 2 + i % 2] : uint16_t{0};
    return;
  }
  for (int n = 0; n < count; n += 16)
    for (int pair = 0; pair < kNarrowPanel / 2; pair += 8) {
      // 16 outputs further on, 2 KB are written: a quarter of them is asked for here.
      if (n + 16 < count)
        for (int i = 0; i < 8; ++i) bringToWrite(out + static_cast<size_t>(n / 2 + 8) * 2 * kNarrowPanel + pair * 32 + 32 * i);
      __m512i r[8], t[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) r[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(panel + static_cast<size_t>(pair + i) * 2 * kNarrowPanel + 2 * n), swap);
#pragma GCC unroll 4
      for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
      }
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
        const __m512i ab0 = _mm512_shuffle_i32x4(t[odd], t[odd + 2], 0x88), ab1 = _mm512_shuffle_i32x4(t[odd], t[odd + 2], 0xdd);
        const __m512i cd0 = _mm512_shuffle_i32x4(t[odd + 4], t[odd + 6], 0x88), cd1 = _mm512_shuffle_i32x4(t[odd + 4], t[odd + 6], 0xdd);
        uint16_t* to = out + (static_cast<size_t>(n / 2 + odd) * kNarrowPanel + 2 * pair) * 2;
        constexpr size_t pairRow = 2 * kNarrowPanel;
        _mm512_storeu_si512(to, _mm512_shuffle_i32x4(ab0, cd0, 0x88));
        _mm512_storeu_si512(to + 2 * pairRow, _mm512_shuffle_i32x4(ab1, cd1, 0x88));
        _mm512_storeu_si512(to + 4 * pairRow, _mm512_shuffle_i32x4(ab0, cd0, 0xdd));
        _mm512_storeu_si512(to + 6 * pairRow, _mm512_shuffle_i32x4(ab1, cd1, 0xdd));
      }
    }
}

}  // namespace
