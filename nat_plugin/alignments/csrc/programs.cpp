// The small programs on a sentence's window of log-probabilities: AXE's path, CTC's sums, CTC's best path.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace nat {
namespace {

constexpr double kLargestCost = 1e9;  // stands for -log 0, so that sums of costs can still be compared

template <class T>
double cost_of(T lprob) {
    const double cost = -double(lprob);
    return cost < kLargestCost ? cost : kLargestCost;
}

// ------------------------------------------------------------------------------------------------------------- AXE

enum Move : uint8_t { kAlign, kSkipPrediction, kSkipTarget };

template <class T>
struct AxeProblem {
    const T *target_lprobs, *blank_lprobs;  // [batch, slots, targets], [batch, slots]
    const int64_t *logit_lengths, *target_lengths;
    int64_t slots, targets;
    double skip_target_penalty;
    bool causal;
    int64_t* positions;  // [batch, targets]
    bool* aligned;       // [batch, targets]
};

// The table is filled a column (a slot) at a time; `above` and `left` of the recursion are neighbours in it.
template <class T>
void axe_path(const AxeProblem<T>& p, int64_t sentence, std::vector<double>& column, std::vector<uint8_t>& moves) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], height = n + 1;
    const T* targets = p.target_lprobs + sentence * p.slots * p.targets;
    const T* blanks = p.blank_lprobs + sentence * p.slots;
    column.resize(size_t(height));
    moves.resize(size_t(height * (m + 1)));
    column[0] = 0.0;
    for (int64_t i = 1; i <= n; ++i) {
        column[i] = column[i - 1] + p.skip_target_penalty * cost_of(targets[i - 1]);
        moves[i] = kSkipTarget;
    }
    for (int64_t j = 1; j <= m; ++j) {
        const T* row = targets + (j - 1) * p.targets;
        const double blank = cost_of(blanks[j - 1]);
        uint8_t* choice = moves.data() + j * height;
        double diagonal = column[0];
        column[0] += blank;
        choice[0] = kSkipPrediction;
        for (int64_t i = 1; i <= n; ++i) {
            const double cost = cost_of(row[i - 1]), skip_prediction = column[i] + blank;
            const double skip_target = column[i - 1] + p.skip_target_penalty * cost;
            double best = skip_prediction;
            uint8_t move = kSkipPrediction;
            if (skip_target < best) best = skip_target, move = kSkipTarget;
            if (!(p.causal && i < j) && diagonal + cost <= best) best = diagonal + cost, move = kAlign;
            diagonal = column[i];
            column[i] = best;
            choice[i] = move;
        }
    }
    int64_t* positions = p.positions + sentence * p.targets;
    bool* aligned = p.aligned + sentence * p.targets;
    std::fill(positions, positions + p.targets, 0);
    std::fill(aligned, aligned + p.targets, false);
    for (int64_t i = n, j = m; i > 0 || j > 0;) {
        const uint8_t move = moves[j * height + i];
        if (move != kSkipPrediction) {
            positions[i - 1] = j > 0 ? j - 1 : 0;
            aligned[i - 1] = move == kAlign;
        }
        i -= move != kSkipPrediction;
        j -= move != kSkipTarget;
    }
}

// ------------------------------------------------------------------------------------------------------------- CTC

template <class T>
struct CtcProblem {
    const T* lprobs;         // [batch, slots, targets + 1], blank last
    const int64_t* targets;  // [batch, targets]
    const int64_t *logit_lengths, *target_lengths;
    int64_t slots, columns;  // columns = targets + 1

    const T* slot(int64_t sentence, int64_t j) const { return lprobs + (sentence * slots + j) * columns; }
    int64_t column(int64_t state) const { return state % 2 ? state / 2 : columns - 1; }
    // whether a state may be entered from two states before: a target's, past the blank, if the targets differ
    bool may_jump(int64_t sentence, int64_t state) const {
        const int64_t* own = targets + sentence * (columns - 1);
        return state % 2 && state > 1 && own[state / 2] != own[state / 2 - 1];
    }
};

// A probability as value * 2^(512 exponent): sums over paths leave the range of a double, sums and products of these do
// not, and neither needs a logarithm. Values are 0 or in [2^-256, 2^256).
struct Wide {
    double value;
    int64_t exponent;
};
constexpr int64_t kNothing = std::numeric_limits<int64_t>::min() / 4;
const double kRadix = std::ldexp(1.0, 512), kRoot = std::ldexp(1.0, 256);

inline Wide normalised(double value, int64_t exponent) {
    if (value == 0) return {0.0, kNothing};
    if (value < 1 / kRoot) return {value * kRadix, exponent - 1};
    if (value >= kRoot) return {value / kRadix, exponent + 1};
    return {value, exponent};
}
inline double relative_to(const Wide& a, int64_t exponent) {  // terms 2^-512 times smaller do not count
    return a.exponent == exponent ? a.value : a.exponent == exponent - 1 ? a.value / kRadix : 0.0;
}
inline Wide times(const Wide& a, const Wide& b) { return normalised(a.value * b.value, a.exponent + b.exponent); }
inline Wide wide_exp(double x) {
    if (!(x > -1e9)) return {0.0, kNothing};
    const double turns = std::nearbyint(x / (512 * M_LN2));
    return normalised(std::exp(x - turns * (512 * M_LN2)), int64_t(turns));
}
inline double wide_log(const Wide& a) {
    return a.value == 0 ? -std::numeric_limits<double>::infinity() : std::log(a.value) + double(a.exponent) * (512 * M_LN2);
}
inline Wide sum(const Wide& a, const Wide& b) {
    const int64_t exponent = std::max(a.exponent, b.exponent);
    return normalised(relative_to(a, exponent) + relative_to(b, exponent), exponent);
}

struct CtcScratch {
    std::vector<Wide> emitted, alphas, betas, next;
};

// Forward and backward variables of Graves et al. 2006, §4.1; returns -log p(target | source).
template <class T>
double ctc_sentence(const CtcProblem<T>& p, int64_t sentence, T* occupancy, CtcScratch& scratch) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], states = 2 * n + 1;
    const int64_t blank = p.columns - 1;
    std::fill(occupancy, occupancy + p.slots * p.columns, T(0));
    scratch.emitted.resize(size_t(m * p.columns));
    scratch.alphas.assign(size_t(m * states), Wide{0.0, kNothing});
    for (int64_t j = 0; j < m; ++j) {
        const T* lprobs = p.slot(sentence, j);
        Wide* to = scratch.emitted.data() + j * p.columns;
        for (int64_t k = 0; k < n; ++k) to[k] = wide_exp(lprobs[k]);
        to[blank] = wide_exp(lprobs[blank]);
    }
    // states that the end cannot be reached from, or the beginning cannot reach, are left out
    const auto first = [&](int64_t j) { return std::max<int64_t>(0, states - 2 * (m - j)); };
    const auto last = [&](int64_t j) { return std::min<int64_t>(states - 1, 2 * j + 1); };
    for (int64_t j = 0; j < m; ++j) {
        const Wide* emitted = scratch.emitted.data() + j * p.columns;
        Wide* alpha = scratch.alphas.data() + j * states;
        const Wide* before = alpha - states;
        for (int64_t s = first(j); s <= last(j); ++s) {
            Wide total{1.0, 0};
            if (j > 0) {
                total = before[s];
                if (s > 0) total = sum(total, before[s - 1]);
                if (p.may_jump(sentence, s)) total = sum(total, before[s - 2]);
            }
            alpha[s] = times(total, emitted[p.column(s)]);
        }
    }
    const Wide* end = scratch.alphas.data() + (m - 1) * states;
    const Wide whole = n > 0 ? sum(end[states - 1], end[states - 2]) : end[0];
    const double lprob = wide_log(whole);
    if (whole.value == 0) return -lprob;
    // betas count the slots after j, so that alpha · beta needs no division by what slot j says
    scratch.betas.assign(size_t(states), Wide{0.0, kNothing});
    scratch.betas[size_t(states - 1)] = {1.0, 0};
    if (n > 0) scratch.betas[size_t(states - 2)] = {1.0, 0};
    for (int64_t j = m - 1; j >= 0; --j) {
        const Wide* alpha = scratch.alphas.data() + j * states;
        T* to = occupancy + j * p.columns;
        for (int64_t s = first(j); s <= last(j); ++s) {
            const Wide joint = times(alpha[s], scratch.betas[size_t(s)]);
            if (joint.value == 0) continue;
            const int64_t apart = joint.exponent - whole.exponent;  // the share is at most 1
            const double share = joint.value / whole.value;
            to[p.column(s)] += T(apart == 0 ? share : apart == -1 ? share / kRadix : apart == 1 ? share * kRadix : 0.0);
        }
        if (j == 0) break;
        const Wide* emitted = scratch.emitted.data() + j * p.columns;
        scratch.next.assign(size_t(states), Wide{0.0, kNothing});
        for (int64_t s = first(j); s <= last(j); ++s) {
            const Wide through = times(scratch.betas[size_t(s)], emitted[p.column(s)]);
            if (through.value == 0) continue;
            scratch.next[size_t(s)] = sum(scratch.next[size_t(s)], through);
            if (s > 0) scratch.next[size_t(s - 1)] = sum(scratch.next[size_t(s - 1)], through);
            if (p.may_jump(sentence, s)) scratch.next[size_t(s - 2)] = sum(scratch.next[size_t(s - 2)], through);
        }
        scratch.betas.swap(scratch.next);
    }
    return -lprob;
}

// Viterbi. Only scores are kept; the way taken is found again where the best path passes.
template <class T>
void ctc_best_path(const CtcProblem<T>& p, int64_t sentence, int64_t* path, std::vector<T>& scores,
                   std::vector<T>& jump) {
    const int64_t n = p.target_lengths[sentence], m = p.logit_lengths[sentence], states = 2 * n + 1;
    const int64_t blank = p.columns - 1, width = states + 2;  // two columns before the first that hold -inf
    const T impossible = -std::numeric_limits<T>::infinity();
    std::fill(path, path + p.slots, blank);
    scores.assign(size_t(m * width), impossible);
    jump.resize(size_t(states));
    for (int64_t s = 0; s < states; ++s) jump[s] = p.may_jump(sentence, s) ? T(0) : impossible;
    for (int64_t s = 0; s < std::min<int64_t>(2, states); ++s) scores[s + 2] = p.slot(sentence, 0)[p.column(s)];
    for (int64_t j = 1; j < m; ++j) {
        const T *before = scores.data() + (j - 1) * width, *lprobs = p.slot(sentence, j);
        T* now = scores.data() + j * width;
        for (int64_t s = 0; s < states; ++s) {
            const T from_two = before[s] + jump[s], from_one = before[s + 1], stay = before[s + 2];
            const T one = from_one > stay ? from_one : stay;
            now[s + 2] = from_two > one ? from_two : one;
        }
        for (int64_t s = 0; s < states; s += 2) now[s + 2] += lprobs[blank];
        for (int64_t k = 0; k < n; ++k) now[2 * k + 3] += lprobs[k];
    }
    const T* end = scores.data() + (m - 1) * width + 2;
    int64_t s = n > 0 && end[states - 2] > end[states - 1] ? states - 2 : states - 1;
    if (!(end[s] > impossible)) return;
    for (int64_t j = m - 1;; --j) {
        path[j] = p.column(s);
        if (j == 0) break;
        const T* before = scores.data() + (j - 1) * width + s;
        const T from_two = before[0] + jump[s], one = std::max(before[1], before[2]);
        s -= from_two > one ? 2 : before[1] > before[2] ? 1 : 0;
    }
}

template <class Scratch, class Work>
void for_sentences(int64_t batch, int threads, Work work) {
    (void)threads;
#pragma omp parallel num_threads(threads) if (threads > 1 && batch > 1)
    {
        Scratch scratch;
#pragma omp for schedule(dynamic)
        for (int64_t sentence = 0; sentence < batch; ++sentence) work(sentence, scratch);
    }
}

template <class T>
struct AxeScratch {
    std::vector<double> column;
    std::vector<uint8_t> moves;
};
template <class T>
struct BestPathScratch {
    std::vector<T> scores, jump;
};

}  // namespace
}  // namespace nat

// The entrances, called from Python by name: nat_<program>_<format>. Matrices are contiguous.
#define NAT_PROGRAMS(T, format)                                                                                    \
    extern "C" void nat_axe_paths_##format(const T* target_lprobs, const T* blank_lprobs,                          \
                                           const int64_t* logit_lengths, const int64_t* target_lengths,            \
                                           int64_t* positions, bool* aligned, int64_t batch, int64_t slots,        \
                                           int64_t targets, double skip_target_penalty, int causal, int threads) { \
        const nat::AxeProblem<T> p{target_lprobs,       blank_lprobs, logit_lengths, target_lengths, slots,        \
                                   targets,             skip_target_penalty, causal != 0, positions, aligned};     \
        nat::for_sentences<nat::AxeScratch<T>>(batch, threads, [&](int64_t sentence, nat::AxeScratch<T>& own) {    \
            nat::axe_path(p, sentence, own.column, own.moves);                                                     \
        });                                                                                                        \
    }                                                                                                              \
    extern "C" void nat_ctc_occupancy_##format(const T* lprobs, const int64_t* targets,                            \
                                               const int64_t* logit_lengths, const int64_t* target_lengths,        \
                                               T* costs, T* occupancy, int64_t batch, int64_t slots,               \
                                               int64_t columns, int threads) {                                     \
        const nat::CtcProblem<T> p{lprobs, targets, logit_lengths, target_lengths, slots, columns};                \
        nat::for_sentences<nat::CtcScratch>(batch, threads, [&](int64_t sentence, nat::CtcScratch& own) {          \
            costs[sentence] = T(nat::ctc_sentence(p, sentence, occupancy + sentence * slots * columns, own));      \
        });                                                                                                        \
    }                                                                                                              \
    extern "C" void nat_ctc_best_paths_##format(const T* lprobs, const int64_t* targets,                           \
                                                const int64_t* logit_lengths, const int64_t* target_lengths,       \
                                                int64_t* paths, int64_t batch, int64_t slots, int64_t columns,     \
                                                int threads) {                                                     \
        const nat::CtcProblem<T> p{lprobs, targets, logit_lengths, target_lengths, slots, columns};                \
        nat::for_sentences<nat::BestPathScratch<T>>(                                                               \
            batch, threads, [&](int64_t sentence, nat::BestPathScratch<T>& own) {                                  \
                nat::ctc_best_path(p, sentence, paths + sentence * slots, own.scores, own.jump);                   \
            });                                                                                                    \
    }

NAT_PROGRAMS(float, f32)
NAT_PROGRAMS(double, f64)
