// AXE's path. The table is filled a column (a slot) at a time and kept; the way taken is found again where the path goes.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "generations.h"
#include "threads.h"

namespace nat {
namespace {

constexpr double kLargestCost = 1e9;  // stands for -log 0, so that sums of costs can still be compared

template <class T>
NAT_INLINE double cost_of(T lprob) {
    const double cost = -double(lprob);
    return cost < kLargestCost ? cost : kLargestCost;
}

template <class T>
struct AxeProblem {
    const T *target_lprobs, *blank_lprobs;  // [batch, slots, targets], [batch, slots]
    const int64_t *logit_lengths, *target_lengths;
    int64_t slots, targets;
    double skip_target_penalty;
    int causal;  // 1: a slot j aligns with no target i < j; 2: nor takes one as a skipped target
    int64_t* positions;  // [batch, targets]
    bool* aligned;       // [batch, targets]
};

struct AxeScratch {
    std::vector<double> table;    // A[i, j] at j (n + 1) + i
    std::vector<double> penalty;  // of skipping each target at one slot
};

template <class T>
NAT_INLINE void axe_path(const AxeProblem<T>& p, int64_t sentence, AxeScratch& scratch) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], height = n + 1;
    const T* lprobs = p.target_lprobs + sentence * p.slots * p.targets;
    const T* blanks = p.blank_lprobs + sentence * p.slots;
    const double delta = p.skip_target_penalty;
    scratch.table.resize(size_t(height * (m + 1)));
    scratch.penalty.resize(size_t(height));
    double* penalty = scratch.penalty.data();
    double* first = scratch.table.data();
    first[0] = 0.0;
    for (int64_t i = 1; i <= n; ++i) first[i] = first[i - 1] + delta * cost_of(lprobs[i - 1]);
    for (int64_t j = 1; j <= m; ++j) {
        const T* row = lprobs + (j - 1) * p.targets;
        const double blank = cost_of(blanks[j - 1]);
        const double* before = first + (j - 1) * height;
        double* now = first + j * height;
        // how many targets, from the first, this slot may not align with, and may not take as skipped ones
        const int64_t barred = p.causal ? std::min(j - 1, n) : 0, unskippable = p.causal == 2 ? barred : 0;
        for (int64_t i = 0; i <= barred; ++i) now[i] = before[i] + blank;
#pragma omp simd
        for (int64_t i = barred + 1; i <= n; ++i) {
            const double align = before[i - 1] + cost_of(row[i - 1]), skip_prediction = before[i] + blank;
            now[i] = align < skip_prediction ? align : skip_prediction;
        }
#pragma omp simd
        for (int64_t i = 1; i <= n; ++i) penalty[i] = delta * cost_of(row[i - 1]);
        double above = now[unskippable];  // the only chain, and in a register
        for (int64_t i = unskippable + 1; i <= n; ++i) {
            const double skip_target = above + penalty[i];
            above = skip_target < now[i] ? skip_target : now[i];
            now[i] = above;
        }
    }
    int64_t* positions = p.positions + sentence * p.targets;
    bool* aligned = p.aligned + sentence * p.targets;
    std::fill(positions, positions + p.targets, 0);
    std::fill(aligned, aligned + p.targets, false);
    for (int64_t i = n, j = m; i > 0;) {
        if (j == 0) {
            --i;  // skipped at the first slot, which is what positions and aligned say already
            continue;
        }
        const double* now = first + j * height + i;
        const double cost = cost_of(lprobs[(j - 1) * p.targets + i - 1]);
        const double skip_prediction = now[-height] + cost_of(blanks[j - 1]), skip_target = now[-1] + delta * cost;
        const double align = now[-height - 1] + cost;
        if (!(p.causal && i < j) && align <= skip_prediction && align <= skip_target) {
            positions[--i] = --j;
            aligned[i] = true;
        } else if (!(p.causal == 2 && i < j) && skip_target < skip_prediction) {
            positions[--i] = j - 1;
        } else {
            --j;
        }
    }
}

#define NAT_DEFINE(generation, target)                                                                          \
    target void axe_f32_##generation(const AxeProblem<float>& p, int64_t sentence, AxeScratch& scratch) {       \
        axe_path(p, sentence, scratch);                                                                         \
    }                                                                                                           \
    target void axe_f64_##generation(const AxeProblem<double>& p, int64_t sentence, AxeScratch& scratch) {      \
        axe_path(p, sentence, scratch);                                                                         \
    }
NAT_GENERATIONS(NAT_DEFINE)

}  // namespace
}  // namespace nat

// The entrances, called from Python by name: nat_axe_paths_<format>. Matrices are contiguous.
#define NAT_ENTRANCE(T, format)                                                                                        \
    extern "C" void nat_axe_paths_##format(const T* target_lprobs, const T* blank_lprobs, const int64_t* logit_lengths, \
                                           const int64_t* target_lengths, int64_t* positions, bool* aligned,           \
                                           int64_t batch, int64_t slots, int64_t targets, double skip_target_penalty,  \
                                           int causal, int threads) {                                                  \
        const nat::AxeProblem<T> p{target_lprobs, blank_lprobs, logit_lengths, target_lengths, slots, targets,         \
                                   skip_target_penalty, causal, positions, aligned};                              \
        nat::for_sentences(NAT_BEST(nat::axe_##format), p, batch, threads);                                            \
    }

NAT_ENTRANCE(float, f32)
NAT_ENTRANCE(double, f64)
