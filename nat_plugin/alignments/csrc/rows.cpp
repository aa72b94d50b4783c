// The two passes over the logits: read_slots and write_gradient, a row (one slot's V logits) at a time.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "generations.h"
#include "numbers.h"
#include "threads.h"

namespace nat {

template <class In>
using Real = decltype(to_float(In{}));

namespace {

constexpr int64_t kBlock = 1024;  // numbers at once: all steps but the first find them in the first-level cache

template <class In>
struct Loaded {
    Real<In> buffer[kBlock];
    NAT_INLINE const Real<In>* operator()(const In* from, int64_t count) {
        for (int64_t i = 0; i < count; ++i) buffer[i] = to_float(from[i]);
        return buffer;
    }
};
template <>
struct Loaded<float> {
    NAT_INLINE const float* operator()(const float* from, int64_t) { return from; }
};
template <>
struct Loaded<double> {
    NAT_INLINE const double* operator()(const double* from, int64_t) { return from; }
};

template <class T>
struct RowSummary {
    T normalizer;
    T mean_lprob;
};

// Σ exp(x - shift) and Σ x, block by block.
template <class In>
struct RowSums {
    double exponentials = 0.0, total = 0.0;
    NAT_INLINE RowSums(const In* row, int64_t vocabulary, Real<In> shift) {
        using T = Real<In>;
        Loaded<In> load;
        for (int64_t start = 0; start < vocabulary; start += kBlock) {
            const int64_t count = vocabulary - start < kBlock ? vocabulary - start : kBlock;
            const T* x = load(row + start, count);
            T block_exponentials = 0, block_total = 0;
#pragma omp simd reduction(+ : block_exponentials, block_total)
            for (int64_t i = 0; i < count; ++i) {
                block_exponentials += exp_of(x[i] - shift);
                block_total += x[i];
            }
            exponentials += block_exponentials;
            total += block_total;
        }
    }
};

template <class In>
NAT_INLINE Real<In> maximum_of(const In* row, int64_t vocabulary) {
    using T = Real<In>;
    T maximum = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : maximum)
    for (int64_t i = 0; i < vocabulary; ++i) {
        const T x = to_float(row[i]);
        maximum = x > maximum ? x : maximum;
    }
    return maximum;
}

// Most logits leave Σ exp(x) well inside a float's range. Only rows that do not are gone through again for their maximum.
// The lower limit is as high as this for the sake of small terms: exp gives 0 below 1e-38, and thousands of those that a
// sum of 1e-30 would lose could matter to it.
template <class In>
NAT_INLINE RowSummary<Real<In>> summarise(const In* row, int64_t vocabulary) {
    using T = Real<In>;
    T shift = 0;
    RowSums<In> sums(row, vocabulary, shift);
    if (!(sums.exponentials > 1e-20 && sums.exponentials < 1e30)) {
        shift = maximum_of(row, vocabulary);
        sums = RowSums<In>(row, vocabulary, shift);
    }
    const double normalizer = double(shift) + std::log(sums.exponentials);
    return {T(normalizer), T(sums.total / double(vocabulary) - normalizer)};
}

// [batch, slots, vocabulary] in memory: the last dimension is dense, the others are where they are.
template <class In>
struct Rows {
    In* start;
    int64_t of_sentence, of_slot;  // strides
    NAT_INLINE In* at(int64_t sentence, int64_t slot) const { return start + sentence * of_sentence + slot * of_slot; }
};

template <class In>
struct ReadArguments {
    Rows<const In> logits;
    const int64_t* tokens;    // [rows, columns], or a row of columns for every `rows_a_list` rows
    const int64_t* lengths;   // [batch]
    Real<In>*normalizers, *chosen, *means;  // [rows], [rows, columns], [rows] or null
    int64_t slots, columns, vocabulary, rows_a_list;
};

template <class In>
NAT_INLINE void read_range(const ReadArguments<In>& a, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
        const int64_t sentence = row / a.slots, slot = row % a.slots;
        Real<In>* chosen = a.chosen + row * a.columns;
        if (slot >= a.lengths[sentence]) {
            a.normalizers[row] = 0;
            if (a.means) a.means[row] = 0;
            for (int64_t k = 0; k < a.columns; ++k) chosen[k] = 0;
            continue;
        }
        const In* logits = a.logits.at(sentence, slot);
        const RowSummary<Real<In>> summary = summarise(logits, a.vocabulary);
        a.normalizers[row] = summary.normalizer;
        if (a.means) a.means[row] = summary.mean_lprob;
        const int64_t* tokens = a.tokens + row / a.rows_a_list * a.columns;
        for (int64_t k = 0; k < a.columns; ++k) chosen[k] = to_float(logits[tokens[k]]) - summary.normalizer;
    }
}

template <class In>
void gather_range(const ReadArguments<In>& a, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
        const int64_t sentence = row / a.slots, slot = row % a.slots;
        const bool real = slot < a.lengths[sentence];
        const In* logits = a.logits.at(sentence, slot);
        const int64_t* tokens = a.tokens + row / a.rows_a_list * a.columns;
        Real<In>* chosen = a.chosen + row * a.columns;
        for (int64_t k = 0; k < a.columns; ++k) chosen[k] = real ? to_float(logits[tokens[k]]) : Real<In>(0);
    }
}

template <class In>
struct WriteArguments {
    Rows<const In> logits;
    const Real<In>* normalizers;      // [rows]
    const int64_t* tokens;            // as in ReadArguments
    const Real<In>* token_weights;    // [rows, columns]
    const Real<In>* softmax_weights;  // [rows]
    const Real<In>* uniform_weights;  // [rows] or null
    const int64_t* lengths;
    Rows<In> out;  // may be logits
    int64_t slots, columns, vocabulary, rows_a_list;
};

// A row in its own precision; halves are computed in float and rounded once, with the tokens' weights added.
template <class In>
struct RowTarget {
    std::vector<Real<In>> row;
    explicit RowTarget(int64_t vocabulary) : row(size_t(vocabulary)) {}
    NAT_INLINE Real<In>* begin(In*) { return row.data(); }
    NAT_INLINE void finish(In* out) {
        for (size_t v = 0; v < row.size(); ++v) store(out + v, row[v]);
    }
};
template <>
struct RowTarget<float> {
    explicit RowTarget(int64_t) {}
    NAT_INLINE float* begin(float* out) { return out; }
    NAT_INLINE void finish(float*) {}
};
template <>
struct RowTarget<double> {
    explicit RowTarget(int64_t) {}
    NAT_INLINE double* begin(double* out) { return out; }
    NAT_INLINE void finish(double*) {}
};

template <class In>
NAT_INLINE void write_range(const WriteArguments<In>& a, int64_t begin, int64_t end) {
    using T = Real<In>;
    RowTarget<In> target(a.vocabulary);
    for (int64_t row = begin; row < end; ++row) {
        const int64_t sentence = row / a.slots, slot = row % a.slots;
        In* out = a.out.at(sentence, slot);
        if (slot >= a.lengths[sentence]) {
            std::memset(static_cast<void*>(out), 0, size_t(a.vocabulary) * sizeof(In));
            continue;
        }
        const In* logits = a.logits.at(sentence, slot);
        T* values = target.begin(out);
        const T weight = a.softmax_weights[row], normalizer = a.normalizers[row];
        const T uniform = a.uniform_weights ? a.uniform_weights[row] / T(a.vocabulary) : T(0);
        if (weight == 0) {
            for (int64_t v = 0; v < a.vocabulary; ++v) values[v] = uniform;
        } else {
#pragma omp simd
            for (int64_t v = 0; v < a.vocabulary; ++v)
                values[v] = uniform - weight * exp_of(to_float(logits[v]) - normalizer);
        }
        const int64_t* tokens = a.tokens + row / a.rows_a_list * a.columns;
        const T* token_weights = a.token_weights + row * a.columns;
        for (int64_t k = 0; k < a.columns; ++k)
            if (token_weights[k] != 0) values[tokens[k]] += token_weights[k];
        target.finish(out);
    }
}

using float32 = float;
using float64 = double;

#define NAT_DEFINE_FORMAT(In, generation, target)                                                              \
    target void read_##In##_##generation(const ReadArguments<In>& a, int64_t begin, int64_t end) {             \
        read_range(a, begin, end);                                                                             \
    }                                                                                                          \
    target void write_##In##_##generation(const WriteArguments<In>& a, int64_t begin, int64_t end) {           \
        write_range(a, begin, end);                                                                            \
    }
#define NAT_DEFINE(generation, target)             \
    NAT_DEFINE_FORMAT(float32, generation, target) \
    NAT_DEFINE_FORMAT(float64, generation, target) \
    NAT_DEFINE_FORMAT(Half, generation, target)    \
    NAT_DEFINE_FORMAT(BFloat16, generation, target)
NAT_GENERATIONS(NAT_DEFINE)

constexpr int64_t kRowsAtOnce = 16;

}  // namespace
}  // namespace nat

// The entrances, called from Python by name: nat_<pass>_<format>. Everything but logits and out is contiguous.
#define NAT_ENTRANCES(In, format)                                                                                  \
    extern "C" void nat_read_##format(const nat::In* logits, int64_t of_sentence, int64_t of_slot,                 \
                                      const int64_t* tokens, const int64_t* lengths,                               \
                                      nat::Real<nat::In>* normalizers, nat::Real<nat::In>* chosen,                 \
                                      nat::Real<nat::In>* means, int64_t batch, int64_t slots, int64_t columns,    \
                                      int64_t vocabulary, int64_t rows_a_list, int threads) {                      \
        const nat::ReadArguments<nat::In> a{{logits, of_sentence, of_slot}, tokens, lengths, normalizers, chosen,  \
                                            means, slots, columns, vocabulary, rows_a_list};                       \
        nat::in_parallel(NAT_BEST(nat::read_##In), a, batch * slots, nat::kRowsAtOnce, threads);                   \
    }                                                                                                              \
    extern "C" void nat_gather_##format(const nat::In* logits, int64_t of_sentence, int64_t of_slot,               \
                                        const int64_t* tokens, const int64_t* lengths, nat::Real<nat::In>* chosen, \
                                        int64_t batch, int64_t slots, int64_t columns, int64_t vocabulary,         \
                                        int64_t rows_a_list, int threads) {                                        \
        const nat::ReadArguments<nat::In> a{{logits, of_sentence, of_slot}, tokens, lengths, nullptr, chosen,      \
                                            nullptr, slots, columns, vocabulary, rows_a_list};                     \
        nat::in_parallel(nat::gather_range<nat::In>, a, batch * slots, nat::kRowsAtOnce, threads);                 \
    }                                                                                                              \
    extern "C" void nat_write_##format(                                                                            \
        const nat::In* logits, int64_t of_sentence, int64_t of_slot, const nat::Real<nat::In>* normalizers,        \
        const int64_t* tokens, const nat::Real<nat::In>* token_weights, const nat::Real<nat::In>* softmax_weights, \
        const nat::Real<nat::In>* uniform_weights, const int64_t* lengths, nat::In* out, int64_t out_of_sentence,  \
        int64_t out_of_slot, int64_t batch, int64_t slots, int64_t columns, int64_t vocabulary,                    \
        int64_t rows_a_list, int threads) {                                                                        \
        const nat::WriteArguments<nat::In> a{{logits, of_sentence, of_slot}, normalizers, tokens, token_weights,   \
                                             softmax_weights, uniform_weights, lengths,                            \
                                             {out, out_of_sentence, out_of_slot}, slots, columns, vocabulary,      \
                                             rows_a_list};                                                         \
        nat::in_parallel(NAT_BEST(nat::write_##In), a, batch * slots, nat::kRowsAtOnce, threads);                  \
    }

NAT_ENTRANCES(float32, f32)
NAT_ENTRANCES(float64, f64)
NAT_ENTRANCES(Half, f16)
NAT_ENTRANCES(BFloat16, bf16)
