// Code for several generations of x86-64 in one library; the best that this processor has is chosen when it is called.
// (By hand: attributes that do this need more of a compiler and a linker.)
//
//     #define DEFINE(generation, target) target void work_##generation(…) { work(…); }
//     NAT_GENERATIONS(DEFINE)          // work is a template or NAT_INLINE, so that it is compiled for each target
//     NAT_BEST(work)(…)
#pragma once

#define NAT_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)

#define NAT_AVX2 __attribute__((target("avx2,fma")))
#define NAT_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#define NAT_GENERATIONS(DEFINE) DEFINE(portable, ) DEFINE(avx2, NAT_AVX2) DEFINE(avx512, NAT_AVX512)
#define NAT_BEST(function) \
    (nat::has_avx512() ? function##_avx512 : nat::has_avx2() ? function##_avx2 : function##_portable)

namespace nat {

inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
inline bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

}  // namespace nat

#else

#define NAT_GENERATIONS(DEFINE) DEFINE(portable, )
#define NAT_BEST(function) function##_portable

#endif
