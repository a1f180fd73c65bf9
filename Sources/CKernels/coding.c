/* Lossless coding of tensors: bytes of numbers in planes, and Huffman codes of a plane. The format
   is codec 2 of Formats/decant.md, section 4. */
#include "forms.h"

/* Two increments of the same counter would depend on each other, so four consecutive elements use
   separate tables. */
BODY void count_by(size_t planes, const uint8_t *bytes, size_t elements, uint32_t *counts) {
  uint32_t tables[3][8 * 256];
  memset(tables, 0, sizeof tables);
  uint32_t *const each[4] = {counts, tables[0], tables[1], tables[2]};
  size_t i = 0;
  for (; i + 4 <= elements; i += 4)
    for (size_t k = 0; k < 4; k++)
      for (size_t plane = 0; plane < planes; plane++)
        each[k][plane * 256 + bytes[(i + k) * planes + plane]]++;
  for (; i < elements; i++)
    for (size_t plane = 0; plane < planes; plane++)
      counts[plane * 256 + bytes[i * planes + plane]]++;
  for (size_t value = 0; value < planes * 256; value++)
    counts[value] += tables[0][value] + tables[1][value] + tables[2][value];
}

void decant_count_bytes(const uint8_t *bytes, size_t elements, size_t planes, uint32_t *counts) {
  /* Constants for the usual widths. */
  switch (planes) {
    case 1: count_by(1, bytes, elements, counts); break;
    case 2: count_by(2, bytes, elements, counts); break;
    case 4: count_by(4, bytes, elements, counts); break;
    default: count_by(planes, bytes, elements, counts);
  }
}

BODY void take_plane(const uint8_t *bytes, size_t elements, size_t planes, size_t plane,
                     uint8_t *target) {
  /* With a constant stride, the compiler uses shuffles. */
  switch (planes) {
    case 1: memcpy(target, bytes, elements); break;
    case 2: for (size_t i = 0; i < elements; i++) target[i] = bytes[i * 2 + plane]; break;
    case 4: for (size_t i = 0; i < elements; i++) target[i] = bytes[i * 4 + plane]; break;
    default: for (size_t i = 0; i < elements; i++) target[i] = bytes[i * planes + plane];
  }
}

BODY void join_by(size_t planes, const uint8_t *const *sources, size_t elements, uint8_t *target) {
  for (size_t i = 0; i < elements; i++)
    for (size_t plane = 0; plane < planes; plane++) target[i * planes + plane] = sources[plane][i];
}

BODY void join_planes(const uint8_t *const *sources, size_t elements, size_t planes,
                      uint8_t *target) {
  switch (planes) {
    case 1: memcpy(target, sources[0], elements); break;
    case 2: {
      const uint8_t *restrict low = sources[0], *restrict high = sources[1];
      for (size_t i = 0; i < elements; i++) {
        target[i * 2] = low[i];
        target[i * 2 + 1] = high[i];
      }
      break;
    }
    case 4: {
      const uint8_t *restrict a = sources[0], *restrict b = sources[1], *restrict c = sources[2],
                    *restrict d = sources[3];
      for (size_t i = 0; i < elements; i++) {
        target[i * 4] = a[i];
        target[i * 4 + 1] = b[i];
        target[i * 4 + 2] = c[i];
        target[i * 4 + 3] = d[i];
      }
      break;
    }
    default: join_by(planes, sources, elements, target);
  }
}

FORMS(void, take_plane,
      (const uint8_t *bytes, size_t elements, size_t planes, size_t plane, uint8_t *target),
      (bytes, elements, planes, plane, target))
FORMS(void, join_planes,
      (const uint8_t *const *sources, size_t elements, size_t planes, uint8_t *target),
      (sources, elements, planes, target))

/* Four codes of at most 12 bits fit in a 64-bit word with the up to 7 bits of a partial byte. */
enum { GROUP = 4, BITS = DECANT_HUFFMAN_BITS, STREAMS = DECANT_HUFFMAN_STREAMS };

BODY uint64_t load64(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

BODY ptrdiff_t huffman_encode(const uint8_t *bytes, size_t count, const uint32_t *codes,
                              uint8_t *target, size_t capacity) {
  uint64_t word = 0;
  size_t held = 0, at = 0;
  for (size_t i = 0; i < count;) {
    if (at + 8 > capacity) return -1;
    size_t group = count - i < GROUP ? count - i : GROUP;
    for (size_t j = 0; j < group; j++) {
      uint32_t code = codes[bytes[i + j]];
      word |= (uint64_t)(code >> 8) << held;
      held += code & 15;
    }
    i += group;
    memcpy(target + at, &word, 8);
    at += held / 8;
    word >>= held & ~(size_t)7;
    held &= 7;
  }
  return (ptrdiff_t)(at + (held > 0));
}

/* Decodes one symbol, whose code is in the low bits of the word. */
#define TAKE(word, place)                                 \
  {                                                       \
    uint32_t entry = table[(word) & ((1u << BITS) - 1)];  \
    (word) >>= entry & 15;                                \
    *(place) = (uint8_t)(entry >> 8);                     \
  }

/* The word that begins at bit `at`; at least 57 of its bits are valid. */
#define LOAD(at) (load64(streams + (at) / 8) >> ((at) & 7))

/* Decodes groups of four symbols of each stream while 8 bytes can be loaded. Returns the number of
   groups. */
BODY size_t decode_groups(const uint8_t *streams, size_t size, size_t *at, const uint16_t *table,
                          size_t quarter, size_t groups, uint8_t *target) {
  /* A marker bit above the bits of a word moves as bits are consumed; its position gives their
     number. */
  const uint64_t marker = 1ull << 63;
  size_t a = at[0], b = at[1], c = at[2], d = at[3], done = 0;
  while (size >= 8 && done < groups) {
    size_t far = a > b ? a : b;
    far = far > c ? far : c;
    far = far > d ? far : d;
    if (far / 8 + 8 > size) break;
    size_t safe = (size - 8 - far / 8) * 8 / (GROUP * BITS) + 1;
    if (safe > groups - done) safe = groups - done;
    uint8_t *place = target + done * GROUP;
    for (size_t i = 0; i < safe; i++) {
      uint64_t u = LOAD(a) | marker, v = LOAD(b) | marker, w = LOAD(c) | marker,
               x = LOAD(d) | marker;
      for (size_t j = 0; j < GROUP; j++, place++) {
        TAKE(u, place)
        TAKE(v, place + quarter)
        TAKE(w, place + 2 * quarter)
        TAKE(x, place + 3 * quarter)
      }
      a += (size_t)__builtin_clzll(u);
      b += (size_t)__builtin_clzll(v);
      c += (size_t)__builtin_clzll(w);
      d += (size_t)__builtin_clzll(x);
    }
    done += safe;
  }
  at[0] = a, at[1] = b, at[2] = c, at[3] = d;
  return done;
}

BODY int huffman_decode(const uint8_t *streams, const size_t *lengths, const uint16_t *table,
                        size_t count, uint8_t *target) {
  size_t quarter = (count + STREAMS - 1) / STREAMS, size = 0, at[STREAMS];
  for (size_t s = 0; s < STREAMS; s++) {
    at[s] = size * 8;
    size += lengths[s];
  }
  size_t last = count > (STREAMS - 1) * quarter ? count - (STREAMS - 1) * quarter : 0;
  size_t done =
      GROUP * decode_groups(streams, size, at, table, quarter, last / GROUP, target);
  size_t end = 0;
  for (size_t s = 0; s < STREAMS; s++) {
    size_t first = s * quarter < count ? s * quarter : count;
    size_t symbols = count - first < quarter ? count - first : quarter;
    end += lengths[s];
    for (size_t i = done; i < symbols; i++) {
      if (at[s] >= end * 8) return 0;
      uint64_t word = 0;
      size_t left = size - at[s] / 8;
      memcpy(&word, streams + at[s] / 8, left < 8 ? left : 8);
      word >>= at[s] & 7;
      uint32_t entry = table[word & ((1u << BITS) - 1)];
      at[s] += entry & 15;
      target[first + i] = (uint8_t)(entry >> 8);
    }
    /* The stream must end in its last byte, and the remaining bits must be zero. */
    if ((at[s] + 7) / 8 != end) return 0;
    if (at[s] % 8 != 0 && streams[end - 1] >> (at[s] % 8) != 0) return 0;
  }
  return 1;
}

FORMS(ptrdiff_t, huffman_encode,
      (const uint8_t *bytes, size_t count, const uint32_t *codes, uint8_t *target, size_t capacity),
      (bytes, count, codes, target, capacity))
FORMS(int, huffman_decode,
      (const uint8_t *streams, const size_t *lengths, const uint16_t *table, size_t count,
       uint8_t *target),
      (streams, lengths, table, count, target))
