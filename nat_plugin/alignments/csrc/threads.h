// Work shared among threads, where the compiler has OpenMP.
#pragma once

#include <cstdint>

namespace nat {

// work(problem, begin, end) on ranges that make up [0, count), `at_once` or fewer at a time.
template <class Problem>
void in_parallel(void (*work)(const Problem&, int64_t, int64_t), const Problem& problem, int64_t count, int64_t at_once,
                 int threads) {
    const int64_t pieces = (count + at_once - 1) / at_once;
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && pieces > 1)
    for (int64_t piece = 0; piece < pieces; ++piece) {
        const int64_t begin = piece * at_once, end = begin + at_once < count ? begin + at_once : count;
        work(problem, begin, end);
    }
}

// work(problem, sentence, scratch) on every sentence, a scratch for each thread.
template <class Problem, class Scratch>
void for_sentences(void (*work)(const Problem&, int64_t, Scratch&), const Problem& problem, int64_t batch,
                   int threads) {
    (void)threads;
#pragma omp parallel num_threads(threads) if (threads > 1 && batch > 1)
    {
        Scratch scratch;
#pragma omp for schedule(dynamic)
        for (int64_t sentence = 0; sentence < batch; ++sentence) work(problem, sentence, scratch);
    }
}

}  // namespace nat
