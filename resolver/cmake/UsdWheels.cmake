# SPDX-License-Identifier: Apache-2.0
#
# Finds the OpenUSD of the Python environment: headers from the pxr-*-dev wheels, the library from
# usd-core, or the libraries from usd-exchange. The -dev wheels' own libraries are never linked: they are a second OpenUSD. TBB's headers
# are kept out too: the wheel ships another version than the headers are for.
execute_process(
  COMMAND "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/usd_wheels.py"
  OUTPUT_VARIABLE _wheels
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "usd-core (or usd-exchange) and pxr-{ar,arch,boost,gf,js,plug,tf,trace,vt,work}-dev of one version "
                      "are needed in the Python environment of ${Python3_EXECUTABLE}, or -Dpxr_DIR=...")
endif()
list(GET _wheels 0 BIFROST_USD_VERSION)
list(GET _wheels 1 _count)
list(SUBLIST _wheels 2 ${_count} _usd_libraries)
math(EXPR _count "${_count} + 2")
list(SUBLIST _wheels ${_count} -1 _includes)
list(GET _usd_libraries 0 _usd_library)
get_filename_component(BIFROST_USD_LIBRARY "${_usd_library}" NAME)

target_include_directories(bifrost_usd SYSTEM INTERFACE ${_includes})
target_compile_definitions(bifrost_usd INTERFACE PXR_PYTHON_SUPPORT_ENABLED=1)
target_link_libraries(bifrost_usd INTERFACE ${_usd_libraries})

# site-packages/bifrost/plugin -> site-packages/usd_core.libs. In a Python process the library is there
# already, under the same soname; this is for C++ programs.
get_filename_component(_usd_folder "${_usd_library}" DIRECTORY)
get_filename_component(_usd_folder "${_usd_folder}" NAME)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../../${_usd_folder}")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
