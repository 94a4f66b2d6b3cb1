// SPDX-License-Identifier: Apache-2.0
//
// Python's symbols, as weak ones, for what OpenUSD's headers use of them inline.
//
// Plug opens libraries with RTLD_NOW: a strong undefined symbol of Python would keep the whole
// plugin from loading in a process that has none. tests/house checks that no strong one is left.
#pragma once

#include <locale>  // before Python.h: it redefines what <locale> uses on some platforms

#include <Python.h>

#pragma weak Py_IsInitialized
#pragma weak PyGILState_Ensure
#pragma weak PyGILState_Release
#pragma weak PyUnicode_DecodeUTF8
#pragma weak _Py_NoneStruct
#pragma weak _Py_Dealloc
#pragma weak PyBool_FromLong
#pragma weak PyFloat_FromDouble
#pragma weak PyUnicode_FromStringAndSize
