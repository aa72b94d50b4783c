// CTC's two programs on a sentence's window of log-probabilities: the sum over all paths, and the best path.
//
// The states are ε y_1 ε y_2 … y_n ε; before the first slot a path is in the first. Blanks and targets are kept apart, so
// that loops over either have neighbours in memory: blank k stands before target k, k = 0..n, and target -1 is nothing.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "generations.h"
#include "numbers.h"
#include "threads.h"

namespace nat {
namespace {

template <class T>
struct CtcProblem {
    const T* lprobs;         // [batch, slots, targets + 1], blank last
    const int64_t* targets;  // [batch, targets]
    const int64_t *logit_lengths, *target_lengths;
    int64_t slots, columns;  // columns = targets + 1
    T *costs, *occupancy;    // [batch], [batch, slots, columns]
    int64_t* paths;          // [batch, slots]

    NAT_INLINE const T* slot(int64_t sentence, int64_t j) const { return lprobs + (sentence * slots + j) * columns; }

    // What going from a target right to the next one costs: nothing, or everything where they are equal.
    template <class Score>
    NAT_INLINE void jumps(int64_t sentence, Score impossible, Score* to) const {
        const int64_t n = target_lengths[sentence];
        const int64_t* own = targets + sentence * (columns - 1);
        for (int64_t k = 0; k < n; ++k) to[k] = k > 0 && own[k] != own[k - 1] ? Score(0) : impossible;
    }
};

// ------------------------------------------------------------------------------------------------- the sum over paths
//
// The probability of all beginnings that end in a state is count · exp(score): the score is the best way's, the count
// starts at 1 and grows at most threefold a slot, and is moved into the score before it could leave a float's range.
// Nothing that matters underflows, and a logarithm is needed every 64th slot only. Each slot notes what share of a state
// came from which state before it; going back, a state's posterior probability is handed out by these shares.

constexpr double kNothing = -1e30;     // the score of what is impossible
constexpr int64_t kSlotsToFold = 64;   // 3^64 < 1e31
constexpr double kLeastShare = 1e-19;  // less, and products of shares would be subnormal, which processors do slowly

NAT_INLINE double at_least_nothing(double score) { return score > kNothing ? score : kNothing; }

template <class T>
NAT_INLINE T share(T part, T whole) {
    const T result = part / whole;
    return result < T(kLeastShare) ? T(0) : result;
}

template <class T>
struct States {
    std::vector<double> scores;
    std::vector<T> counts;
    int64_t size = 0;

    void start(int64_t n) {
        size = 2 * (n + 1);
        scores.assign(size_t(size), kNothing);
        counts.assign(size_t(size), T(1));
        scores[size_t(n + 1)] = 0.0;
    }
    // target k is at k + 1, blank k at n + 1 + k
    NAT_INLINE double* target_scores() { return scores.data() + 1; }
    NAT_INLINE double* blank_scores() { return scores.data() + size / 2; }
    NAT_INLINE T* target_counts() { return counts.data() + 1; }
    NAT_INLINE T* blank_counts() { return counts.data() + size / 2; }
    NAT_INLINE void fold() {
        for (int64_t s = 0; s < size; ++s) {
            scores[size_t(s)] = at_least_nothing(scores[size_t(s)] + std::log(double(counts[size_t(s)])));
            counts[size_t(s)] = T(1);
        }
    }
};

template <class T>
struct SumScratch {
    States<T> before, now;
    std::vector<double> jump;
    std::vector<T> shares;               // five lists of n + 1 a slot
    std::vector<T> posterior, previous;  // targets 0..n-1 and nothing, blanks 0..n
};

// The lists of one slot: what share of blank k came from itself and from target k-1, of target k from itself, from blank
// k and from target k-1.
template <class T>
struct Shares {
    T *blank_stays, *blank_entered, *target_stays, *target_after_blank, *target_jumps;
    NAT_INLINE Shares(std::vector<T>& all, int64_t slot, int64_t length) {
        T* start = all.data() + slot * 5 * length;
        blank_stays = start;
        blank_entered = start + length;
        target_stays = start + 2 * length;
        target_after_blank = start + 3 * length;
        target_jumps = start + 4 * length;
    }
};

template <class T>
NAT_INLINE void step(States<T>& before, States<T>& now, Shares<T> shares, const double* jump, const T* lprobs,
                     double blank, int64_t n) {
    const double *target = before.target_scores(), *stay = before.blank_scores();
    const T *target_count = before.target_counts(), *stay_count = before.blank_counts();
    double* scores = now.blank_scores();
    T* counts = now.blank_counts();
#pragma omp simd
    for (int64_t k = 0; k <= n; ++k) {
        const double top = stay[k] > target[k - 1] ? stay[k] : target[k - 1];
        const T stays = stay_count[k] * exp_of(T(stay[k] - top));
        const T entered = target_count[k - 1] * exp_of(T(target[k - 1] - top));
        scores[k] = at_least_nothing(top + blank);
        counts[k] = stays + entered;
        shares.blank_stays[k] = share(stays, stays + entered);
        shares.blank_entered[k] = share(entered, stays + entered);
    }
    scores = now.target_scores();
    counts = now.target_counts();
#pragma omp simd
    for (int64_t k = 0; k < n; ++k) {
        const double jumping = target[k - 1] + jump[k], one = stay[k] > target[k] ? stay[k] : target[k];
        const double top = jumping > one ? jumping : one;
        const T stays = target_count[k] * exp_of(T(target[k] - top));
        const T after_blank = stay_count[k] * exp_of(T(stay[k] - top));
        const T jumps = target_count[k - 1] * exp_of(T(jumping - top));
        const T total = stays + after_blank + jumps;
        scores[k] = at_least_nothing(top + at_least_nothing(double(lprobs[k])));
        counts[k] = total;
        shares.target_stays[k] = share(stays, total);
        shares.target_after_blank[k] = share(after_blank, total);
        shares.target_jumps[k] = share(jumps, total);
    }
    // what target n, which there is not, would have: read with a posterior of 0 on the way back
    shares.target_stays[n] = shares.target_after_blank[n] = shares.target_jumps[n] = T(0);
}

template <class T>
NAT_INLINE void step_back(const T* posterior, T* previous, Shares<T> shares, int64_t n) {
    const T *target = posterior, *blank = posterior + n + 1;
    T *previous_target = previous, *previous_blank = previous + n + 1;
#pragma omp simd
    for (int64_t k = 0; k <= n; ++k) {
        const T sum = blank[k] * shares.blank_stays[k] + target[k] * shares.target_after_blank[k];
        previous_blank[k] = sum < T(kLeastShare) ? T(0) : sum;
    }
#pragma omp simd
    for (int64_t k = 0; k < n; ++k) {
        const T sum = blank[k + 1] * shares.blank_entered[k + 1] + target[k] * shares.target_stays[k] +
                      target[k + 1] * shares.target_jumps[k + 1];
        previous_target[k] = sum < T(kLeastShare) ? T(0) : sum;
    }
    previous_target[n] = T(0);
}

template <class T>
NAT_INLINE void sum_over_paths(const CtcProblem<T>& p, int64_t sentence, SumScratch<T>& own) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], length = n + 1;
    T* occupancy = p.occupancy + sentence * p.slots * p.columns;
    std::fill(occupancy, occupancy + p.slots * p.columns, T(0));
    own.jump.resize(size_t(n));
    p.jumps(sentence, kNothing, own.jump.data());
    own.before.start(n);
    own.now.start(n);
    own.shares.resize(size_t(m * 5 * length));
    for (int64_t j = 0; j < m; ++j) {
        const T* lprobs = p.slot(sentence, j);
        const double blank = at_least_nothing(double(lprobs[p.columns - 1]));
        step(own.before, own.now, Shares<T>(own.shares, j, length), own.jump.data(), lprobs, blank, n);
        std::swap(own.before, own.now);
        if (j % kSlotsToFold == kSlotsToFold - 1) own.before.fold();
    }
    own.before.fold();
    const double blank = own.before.blank_scores()[n], target = n > 0 ? own.before.target_scores()[n - 1] : kNothing;
    const double top = std::max(blank, target);
    if (top < kNothing / 2) {
        p.costs[sentence] = std::numeric_limits<T>::infinity();
        return;
    }
    const double whole = std::exp(blank - top) + std::exp(target - top);
    p.costs[sentence] = T(-(top + std::log(whole)));
    own.posterior.assign(size_t(2 * length), T(0));
    own.previous.assign(size_t(2 * length), T(0));
    own.posterior[size_t(length + n)] = T(std::exp(blank - top) / whole);
    if (n > 0) own.posterior[size_t(n - 1)] = T(std::exp(target - top) / whole);
    for (int64_t j = m - 1; j >= 0; --j) {
        T* to = occupancy + j * p.columns;
        std::copy(own.posterior.begin(), own.posterior.begin() + n, to);
        T blanks = 0;
        const T* each = own.posterior.data() + length;
#pragma omp simd reduction(+ : blanks)
        for (int64_t k = 0; k <= n; ++k) blanks += each[k];
        to[p.columns - 1] = blanks;
        if (j == 0) break;
        step_back(own.posterior.data(), own.previous.data(), Shares<T>(own.shares, j, length), n);
        own.posterior.swap(own.previous);
    }
}

// ------------------------------------------------------------------------------------------------------ the best path
//
// Viterbi. All scores are kept, and the way taken is found again where the best path passes.

template <class T>
struct BestScratch {
    std::vector<T> scores;  // [slots + 1, 2 (n + 1)]: nothing, targets 0..n-1, blanks 0..n
    std::vector<T> jump;
};

template <class T>
NAT_INLINE T larger(T a, T b) {
    return a > b ? a : b;
}

template <class T>
NAT_INLINE void best_path(const CtcProblem<T>& p, int64_t sentence, BestScratch<T>& own) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], width = 2 * (n + 1);
    const T impossible = -std::numeric_limits<T>::infinity();
    int64_t* path = p.paths + sentence * p.slots;
    std::fill(path, path + p.slots, p.columns - 1);
    own.jump.resize(size_t(n));
    p.jumps(sentence, impossible, own.jump.data());
    own.scores.resize(size_t((m + 1) * width));
    std::fill(own.scores.begin(), own.scores.begin() + width, impossible);
    own.scores[size_t(n + 1)] = T(0);
    const T* jump = own.jump.data();
    for (int64_t j = 0; j < m; ++j) {
        const T *lprobs = p.slot(sentence, j), blank = lprobs[p.columns - 1];
        const T *targets = own.scores.data() + j * width + 1, *blanks = targets + n;
        T *new_targets = own.scores.data() + (j + 1) * width + 1, *new_blanks = new_targets + n;
        new_targets[-1] = impossible;
#pragma omp simd
        for (int64_t k = 0; k < n; ++k)
            new_targets[k] = lprobs[k] + larger(targets[k - 1] + jump[k], larger(blanks[k], targets[k]));
#pragma omp simd
        for (int64_t k = 0; k <= n; ++k) new_blanks[k] = blank + larger(targets[k - 1], blanks[k]);
    }
    const T *targets = own.scores.data() + m * width + 1, *blanks = targets + n;
    bool on_blank = !(targets[n - 1] > blanks[n]);  // n = 0: target -1, which is nothing
    int64_t k = on_blank ? n : n - 1;
    if (!((on_blank ? blanks[k] : targets[k]) > impossible)) return;
    for (int64_t j = m - 1; j >= 0; --j) {
        if (!on_blank) path[j] = k;
        targets -= width;
        blanks -= width;
        if (on_blank) {
            on_blank = !(targets[k - 1] > blanks[k]);
            k -= !on_blank;
        } else if (targets[k - 1] + jump[k] > larger(blanks[k], targets[k])) {
            --k;
        } else {
            on_blank = blanks[k] > targets[k];
        }
    }
}

#define NAT_DEFINE(generation, target)                                                                          \
    target void sum_f32_##generation(const CtcProblem<float>& p, int64_t sentence, SumScratch<float>& own) {    \
        sum_over_paths(p, sentence, own);                                                                       \
    }                                                                                                           \
    target void sum_f64_##generation(const CtcProblem<double>& p, int64_t sentence, SumScratch<double>& own) {  \
        sum_over_paths(p, sentence, own);                                                                       \
    }                                                                                                           \
    target void best_f32_##generation(const CtcProblem<float>& p, int64_t sentence, BestScratch<float>& own) {  \
        best_path(p, sentence, own);                                                                            \
    }                                                                                                           \
    target void best_f64_##generation(const CtcProblem<double>& p, int64_t sentence, BestScratch<double>& own) { \
        best_path(p, sentence, own);                                                                            \
    }
NAT_GENERATIONS(NAT_DEFINE)

}  // namespace
}  // namespace nat

// The entrances, called from Python by name: nat_<program>_<format>. Matrices are contiguous.
#define NAT_ENTRANCES(T, format)                                                                                    \
    extern "C" void nat_ctc_occupancy_##format(const T* lprobs, const int64_t* targets, const int64_t* logit_lengths, \
                                               const int64_t* target_lengths, T* costs, T* occupancy, int64_t batch, \
                                               int64_t slots, int64_t columns, int threads) {                       \
        const nat::CtcProblem<T> p{lprobs, targets, logit_lengths, target_lengths, slots,                           \
                                   columns, costs, occupancy, nullptr};                                             \
        nat::for_sentences(NAT_BEST(nat::sum_##format), p, batch, threads);                                         \
    }                                                                                                               \
    extern "C" void nat_ctc_best_paths_##format(const T* lprobs, const int64_t* targets,                            \
                                                const int64_t* logit_lengths, const int64_t* target_lengths,        \
                                                int64_t* paths, int64_t batch, int64_t slots, int64_t columns,      \
                                                int threads) {                                                      \
        const nat::CtcProblem<T> p{lprobs, targets, logit_lengths, target_lengths, slots,                           \
                                   columns, nullptr, nullptr, paths};                                               \
        nat::for_sentences(NAT_BEST(nat::best_##format), p, batch, threads);                                        \
    }

NAT_ENTRANCES(float, f32)
NAT_ENTRANCES(double, f64)
