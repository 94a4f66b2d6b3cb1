// SPDX-License-Identifier: Apache-2.0
//
// The functions of Python that the bridge calls, found when they are needed: in the process, else
// in the library that BIFROST_LIBPYTHON names, else in the libpython this plugin was built beside.
//
// Nothing links to libpython, so the plugin loads in a process that has none.
#pragma once

#include <Python.h>

namespace bifrost {

struct PythonApi {
  decltype(&::Py_IsInitialized) IsInitialized;
  decltype(&::Py_GetVersion) GetVersion;
  decltype(&::PyConfig_InitPythonConfig) ConfigInit;
  decltype(&::PyConfig_SetBytesString) ConfigSetText;
  decltype(&::PyConfig_Clear) ConfigClear;
  decltype(&::Py_InitializeFromConfig) InitializeFromConfig;
  decltype(&::PyStatus_Exception) StatusIsException;
  decltype(&::PyEval_SaveThread) SaveThread;
  decltype(&::PyEval_RestoreThread) RestoreThread;
  decltype(&::PyGILState_Ensure) GilEnsure;
  decltype(&::PyGILState_Release) GilRelease;
  decltype(&::PyGILState_GetThisThreadState) ThisThreadState;
  decltype(&::PyThreadState_Get) CurrentThreadState;  // the one that returns null, not `Get`
  decltype(&::PyThreadState_GetInterpreter) InterpreterOf;
  decltype(&::PyInterpreterState_Main) MainInterpreter;
  decltype(&::PyInterpreterState_Head) NewestInterpreter;
  decltype(&::PyInterpreterState_Next) OlderInterpreter;
  decltype(&::PyImport_ImportModule) ImportModule;
  decltype(&::PyObject_GetAttrString) GetAttr;
  decltype(&::PyObject_CallObject) Call;
  decltype(&::PyTuple_New) TupleNew;
  decltype(&::PyTuple_SetItem) TupleSetItem;
  decltype(&::PyUnicode_DecodeUTF8) TextFromUtf8;
  decltype(&::PyUnicode_AsUTF8AndSize) Utf8FromText;
  decltype(&::PyBytes_AsStringAndSize) BytesData;
  decltype(&::PyErr_Fetch) ErrFetch;
  decltype(&::PyErr_NormalizeException) ErrNormalize;
  decltype(&::PyErr_Clear) ErrClear;
  decltype(&::PyErr_ExceptionMatches) ErrMatches;
  decltype(&::PyErr_SetInterrupt) SetInterrupt;
  decltype(&::PyExc_KeyboardInterrupt) KeyboardInterrupt;
  decltype(&::PyObject_Str) Str;
  decltype(&::Py_DecRef) DecRef;
  decltype(&::Py_IncRef) IncRef;
  decltype(&::PyCFunction_NewEx) FunctionNew;
  decltype(&::PyRun_SimpleString) RunString;

  // The table, filled on first use; null when no Python can be had.
  static const PythonApi* get();

  // The table if the process has a Python already; loads nothing.
  static const PythonApi* inProcess();

  // The table if one of those has found it. One load: it doesn't look.
  static const PythonApi* found();
};

}  // namespace bifrost
