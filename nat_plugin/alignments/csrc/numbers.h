// Number formats, and an exp that loops over logits can be vectorised with.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "generations.h"

namespace nat {

struct Half {
    uint16_t bits;
};
struct BFloat16 {
    uint16_t bits;
};

template <class To, class From>
NAT_INLINE To bit_cast(From value) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    std::memcpy(&result, &value, sizeof(To));
    return result;
}

NAT_INLINE float to_float(float value) { return value; }
NAT_INLINE double to_float(double value) { return value; }
NAT_INLINE float to_float(BFloat16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }
NAT_INLINE float to_float(Half value) {
    // exponent and mantissa moved into place are the value times 2^-112; infinity and NaN need the largest exponent
    const uint32_t sign = uint32_t(value.bits & 0x8000u) << 16;
    const uint32_t magnitude = uint32_t(value.bits & 0x7fffu) << 13;
    const float scaled = bit_cast<float>(magnitude) * bit_cast<float>(uint32_t(0x77800000u));
    const uint32_t finite = bit_cast<uint32_t>(scaled);
    const uint32_t special = magnitude | 0x7f800000u;
    return bit_cast<float>(sign | (magnitude >= 0x0f800000u ? special : finite));
}

NAT_INLINE void store(float* to, float value) { *to = value; }
NAT_INLINE void store(double* to, double value) { *to = value; }
NAT_INLINE void store(BFloat16* to, float value) {
    const uint32_t bits = bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
    to->bits = uint16_t(value != value ? 0x7fc0u : rounded);
}
NAT_INLINE void store(Half* to, float value) {
    // in whole numbers alone: with comparisons of floats between them, gcc does not vectorise these steps
    const int32_t bits = bit_cast<int32_t>(value), magnitude = bits & 0x7fffffff;
    const int32_t even = (magnitude >> 13) & 1;
    const int32_t normal = (magnitude + 0xfff + even - 0x38000000) >> 13;  // to nearest, ties to even
    // adding 1/2 leaves multiples of 2^-24, the steps of subnormal halves, in the last bits
    const int32_t subnormal = bit_cast<int32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
    int32_t result = magnitude < 0x38800000 ? subnormal : normal;
    result = magnitude >= 0x477ff000 ? 0x7c00 : result;  // 65520 and more
    result = magnitude > 0x7f800000 ? 0x7e00 : result;
    to->bits = uint16_t(((bits >> 16) & 0x8000) | result);
}

// exp to within 1.5 units in the last place on [-87.3, 88]; 0 below, where results would be subnormal; infinite above
// 88.37; NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) = 1 + r + r^2 q(r), with q fitted to make the
// largest relative error smallest (3e-9). Written without branches, so that loops over it are vectorised.
NAT_INLINE float exp_of(float x) {
    const float shifted = x * 1.44269504088896341f + 12582912.0f;  // + 1.5 * 2^23 rounds to a whole number …
    const float turns = shifted - 12582912.0f;
    const float r = (x - turns * 0.693359375f) + turns * 2.12194440e-4f;
    float q = 1.38145e-3f;
    q = q * r + 8.36875e-3f;
    q = q * r + 4.166839e-2f;
    q = q * r + 1.666652e-1f;
    q = q * r + 4.9999993e-1f;
    const float p = q * (r * r) + r + 1.0f;
    // … which stands in the last bits of the sum, where it is moved into the exponent
    const float scale = bit_cast<float>((bit_cast<uint32_t>(shifted) << 23) + 0x3f800000u);
    const float in_range = x < -87.33f ? 0.0f : p * scale;
    return x > 88.37f ? std::numeric_limits<float>::infinity() : in_range;
}
NAT_INLINE double exp_of(double x) { return std::exp(x); }

}  // namespace nat
