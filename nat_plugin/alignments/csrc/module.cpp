// An empty Python module: it lets setuptools build, install and find this library like any other extension. The functions
// themselves are called through ctypes, which needs neither torch's headers nor its ABI.
#include <Python.h>

#include <cstdint>

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "The library behind nat_plugin.alignments.backends.cpp_backend.", -1, nullptr,
    nullptr, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__kernels() { return PyModule_Create(&definition); }

// What Python asks before it hands out pointers: the index of the first value outside [low, high], or -1.
extern "C" int64_t nat_first_outside(const int64_t* values, int64_t count, int64_t low, int64_t high) {
    for (int64_t i = 0; i < count; ++i)
        if (values[i] < low || values[i] > high) return i;
    return -1;
}
