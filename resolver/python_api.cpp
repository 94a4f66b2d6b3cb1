// SPDX-License-Identifier: Apache-2.0
#include "python_api.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>

namespace bifrost {

namespace {

constexpr const char* kCurrentThreadState =
    PY_VERSION_HEX >= 0x030D0000 ? "PyThreadState_GetUnchecked" : "_PyThreadState_UncheckedGet";

std::atomic<const PythonApi*> known{nullptr};

template <class Function>
bool find(void* library, const char* name, Function& slot) {
  slot = reinterpret_cast<Function>(dlsym(library, name));
  return slot != nullptr;
}

bool fill(PythonApi& api, void* library) {
  return find(library, "Py_IsInitialized", api.IsInitialized) &&
         find(library, "Py_GetVersion", api.GetVersion) &&
         find(library, "PyConfig_InitPythonConfig", api.ConfigInit) &&
         find(library, "PyConfig_SetBytesString", api.ConfigSetText) &&
         find(library, "PyConfig_Clear", api.ConfigClear) &&
         find(library, "Py_InitializeFromConfig", api.InitializeFromConfig) &&
         find(library, "PyStatus_Exception", api.StatusIsException) &&
         find(library, "PyEval_SaveThread", api.SaveThread) &&
         find(library, "PyEval_RestoreThread", api.RestoreThread) &&
         find(library, "PyGILState_Ensure", api.GilEnsure) &&
         find(library, "PyGILState_Release", api.GilRelease) &&
         find(library, "PyGILState_GetThisThreadState", api.ThisThreadState) &&
         find(library, kCurrentThreadState, api.CurrentThreadState) &&
         find(library, "PyThreadState_GetInterpreter", api.InterpreterOf) &&
         find(library, "PyInterpreterState_Main", api.MainInterpreter) &&
         find(library, "PyInterpreterState_Head", api.NewestInterpreter) &&
         find(library, "PyInterpreterState_Next", api.OlderInterpreter) &&
         find(library, "PyImport_ImportModule", api.ImportModule) &&
         find(library, "PyObject_GetAttrString", api.GetAttr) &&
         find(library, "PyObject_CallObject", api.Call) &&
         find(library, "PyTuple_New", api.TupleNew) &&
         find(library, "PyTuple_SetItem", api.TupleSetItem) &&
         find(library, "PyUnicode_DecodeUTF8", api.TextFromUtf8) &&
         find(library, "PyUnicode_AsUTF8AndSize", api.Utf8FromText) &&
         find(library, "PyBytes_AsStringAndSize", api.BytesData) &&
         find(library, "PyErr_Fetch", api.ErrFetch) &&
         find(library, "PyErr_NormalizeException", api.ErrNormalize) &&
         find(library, "PyErr_Clear", api.ErrClear) &&
         find(library, "PyErr_ExceptionMatches", api.ErrMatches) &&
         find(library, "PyErr_SetInterrupt", api.SetInterrupt) &&
         find(library, "PyExc_KeyboardInterrupt", api.KeyboardInterrupt) &&
         find(library, "PyObject_Str", api.Str) && find(library, "Py_DecRef", api.DecRef) &&
         find(library, "Py_IncRef", api.IncRef) &&
         find(library, "PyCFunction_NewEx", api.FunctionNew) &&
         find(library, "PyRun_SimpleString", api.RunString);
}

// RTLD_GLOBAL: extension modules are not linked to libpython and look for it in the process.
void* openLibrary() {
  const char* named = std::getenv("BIFROST_LIBPYTHON");
  if (named != nullptr && *named != '\0') {
    return dlopen(named, RTLD_NOW | RTLD_GLOBAL);
  }
  const std::string own = "libpython" + std::to_string(PY_MAJOR_VERSION) + "." +
                          std::to_string(PY_MINOR_VERSION) + ".so.1.0";
  return dlopen(own.c_str(), RTLD_NOW | RTLD_GLOBAL);
}

}  // namespace

const PythonApi* PythonApi::found() { return known.load(std::memory_order_acquire); }

const PythonApi* PythonApi::inProcess() {
  // Looked for until found: an application may load its Python long after this plugin.
  const PythonApi* api = known.load(std::memory_order_acquire);
  if (api == nullptr) {
    auto filled = std::make_unique<PythonApi>();
    if (fill(*filled, RTLD_DEFAULT) && known.compare_exchange_strong(api, filled.get())) {
      api = filled.release();
    }
  }
  return api;
}

const PythonApi* PythonApi::get() {
  if (const PythonApi* api = inProcess()) {
    return api;
  }
  static const bool isLoaded = openLibrary() != nullptr;
  return isLoaded ? inProcess() : nullptr;
}

}  // namespace bifrost
