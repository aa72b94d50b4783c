// An empty Python module: it lets setuptools build, install and find this library like any other extension. The functions
// themselves are called through ctypes, which needs neither torch's headers nor its ABI.
#include <Python.h>

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "The library behind nat_plugin.alignments.backends.cpp_backend.", -1, nullptr,
    nullptr, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__kernels() { return PyModule_Create(&definition); }
