// SPDX-License-Identifier: Apache-2.0
#include "python_bridge.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "context_answers.h"
#include "diagnostics.h"
#include "environment.h"
#include "pins.h"
#include "python_api.h"

namespace bifrost {

namespace {

constexpr const char* kModule = "bifrost.usd.bridge";
constexpr const char* kSubject = "Python bridge";
// A crossing is bounded by the manager's deadline on the Python side; this only bounds a defect.
constexpr std::chrono::seconds kLongestCrossing{60};
// How long a failed import of the bridge is believed: the search is slow, misses are many.
constexpr double kImportAgainAfter_s = 10.0;

struct BridgeState {
  std::atomic<bool> closed{false};
  std::atomic<int> inFlight{0};
  std::atomic<std::uint64_t> crossings{0};
  std::atomic<bool> watchesExit{false};
  std::atomic<bool> exitHooked{false};
  // Whether anybody began to import the bridge. Set with the GIL held.
  std::atomic<bool> wanted{false};
  std::atomic<double> importAgainAt{0.0};

  // Guards `interpreter` only; while it is held no Python is running that could want it.
  std::mutex startMutex;
  std::condition_variable started;
  enum class Interpreter {
    kUnknown,
    kStarting,
    kRunning,
    kRefused
  } interpreter{Interpreter::kUnknown};
};

BridgeState& state() {
  static auto* instance = new BridgeState;  // leaked: threads may outlive the statics
  return *instance;
}

thread_local int insideDepth = 0;
thread_local int passagesHere = 0;

// A stretch of code that comes back to Python. Closing the bridge waits for those that are open:
// who takes the GIL later is unwound by force, and OpenUSD's bindings abort the process then.
class Passage {
 public:
  Passage() {
    state().inFlight.fetch_add(1);
    isOpen_ = !state().closed.load();
    ++passagesHere;
  }
  ~Passage() {
    --passagesHere;
    state().inFlight.fetch_sub(1);
  }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  bool isOpen() const { return isOpen_; }

 private:
  bool isOpen_ = false;
};

// A passage through the bridge.
class Crossing : public Passage {
 public:
  Crossing() { ++insideDepth; }
  ~Crossing() { --insideDepth; }
};

// The thread state that this thread runs Python with, of whatever interpreter; null while it does
// not hold the GIL. `PyGILState_Check` can't say: it knows one interpreter, and says yes to every
// thread once there was a second.
PyThreadState* runningState(const PythonApi& api) {
  PyThreadState* current = api.CurrentThreadState();
#if PY_VERSION_HEX < 0x030C0000
  // Whoever holds the GIL: this thread, in the interpreter that it is known for or in another, or
  // another thread. Only that last one's state may go away while it is looked at: so never without
  // need.
  if (current != nullptr && current != api.ThisThreadState()) {
    const bool isAlone = api.OlderInterpreter(api.NewestInterpreter()) == nullptr;
    return !isAlone && current->thread_id == pthread_self() ? current : nullptr;
  }
#endif
  return current;
}

// Whether this thread runs, or last ran, the Python of a second interpreter. `PyGILState_Ensure`
// would wait there for the GIL that the thread itself holds; and there is one bridge, in the first.
bool isOfSecondInterpreter(const PythonApi& api) {
  PyThreadState* running = runningState(api);
  PyThreadState* own = running != nullptr ? running : api.ThisThreadState();
  return own != nullptr && api.InterpreterOf(own) != api.MainInterpreter();
}

// A thread that Python did not make gets a thread state on its first crossing and keeps it: making
// one each time costs 7 us instead of 0.1 us. It goes when the thread does.
struct KeptThreadState {
  const PythonApi* api = nullptr;

  ~KeptThreadState() {
    if (api == nullptr) {
      return;
    }
    const Crossing crossing;
    if (crossing.isOpen()) {
      api->GilEnsure();
      api->GilRelease(PyGILState_LOCKED);
      api->GilRelease(PyGILState_UNLOCKED);  // the last one: frees the thread state
    }
  }
};

thread_local KeptThreadState keptThreadState;

class Gil {
 public:
  explicit Gil(const PythonApi& api) : api_(api) {
    if (api.ThisThreadState() == nullptr) {
      api.GilEnsure();
      api.SaveThread();
      keptThreadState.api = &api;
    }
    before_ = api.GilEnsure();
  }
  ~Gil() { api_.GilRelease(before_); }
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;

 private:
  const PythonApi& api_;
  PyGILState_STATE before_{};
};

// An owned Python object. Only with the GIL held.
class Object {
 public:
  Object(const PythonApi& api, PyObject* object) : api_(&api), object_(object) {}
  ~Object() { api_->DecRef(object_); }  // null is fine
  Object(Object&& other) noexcept
      : api_(other.api_), object_(std::exchange(other.object_, nullptr)) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Object& operator=(Object&&) = delete;

  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  const PythonApi* api_;
  PyObject* object_;
};

// Whether the pending exception is Ctrl-C: Python raises it on its main thread.
bool isInterrupt(const PythonApi& api) { return api.ErrMatches(*api.KeyboardInterrupt) != 0; }

// Takes the pending exception away and returns its text. Ctrl-C nobody takes away: it is raised
// anew as soon as Python runs on its main thread again.
std::string takeError(const PythonApi& api) {
  const bool isInterrupted = isInterrupt(api);
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  api.ErrFetch(&type, &value, &traceback);
  if (type == nullptr) {
    return "no error was set";
  }
  api.ErrNormalize(&type, &value, &traceback);
  const Object ownedType(api, type);
  const Object ownedValue(api, value);
  const Object ownedTraceback(api, traceback);
  const Object name(api, api.GetAttr(type, "__name__"));
  const Object text(api, value != nullptr ? api.Str(value) : nullptr);
  const char* nameText = name ? api.Utf8FromText(name.get(), nullptr) : nullptr;
  const char* valueText = text ? api.Utf8FromText(text.get(), nullptr) : nullptr;
  std::string message = nameText != nullptr ? nameText : "an exception";
  message += std::string(": ") + (valueText != nullptr ? valueText : "");
  api.ErrClear();
  if (isInterrupted) {
    api.SetInterrupt();
  }
  return message;
}

Object tupleOf(const PythonApi& api, std::initializer_list<std::string_view> arguments) {
  Object tuple(api, api.TupleNew(static_cast<Py_ssize_t>(arguments.size())));
  Py_ssize_t at = 0;
  for (const std::string_view argument : arguments) {
    // Paths are bytes to USD; what is no UTF-8 comes through Python unharmed as surrogates.
    PyObject* text = api.TextFromUtf8(argument.data(), static_cast<Py_ssize_t>(argument.size()),
                                      "surrogateescape");
    api.TupleSetItem(tuple.get(), at++, text);
  }
  return tuple;
}

std::string parentOf(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? std::string{} : path.substr(0, slash);
}

std::string fileOf(const void* symbol) {
  Dl_info info{};
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

// Where the `bifrost` package may be: what BIFROST_PYTHONPATH says, else the folder that the
// package holding this library (<there>/bifrost/plugin/libbifrost.so) was installed into.
std::string packageFolders() {
  const char* named = std::getenv("BIFROST_PYTHONPATH");
  if (named != nullptr && *named != '\0') {
    return named;
  }
  const std::string library = fileOf(reinterpret_cast<const void*>(&packageFolders));
  return parentOf(parentOf(parentOf(library)));
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char ch : text) {
    result += ch == '\\' || ch == '\'' ? std::string{'\\', ch} : std::string{ch};
  }
  return result + "'";
}

void run(const PythonApi& api, const std::string& script) {
  if (api.RunString(script.c_str()) != 0) {
    api.ErrClear();
  }
}

// Adds the package's folders to sys.path: in an interpreter of our own behind what PYTHONPATH says,
// in an application's behind everything.
void addPackageFolders(const PythonApi& api, bool isOwn) {
  run(api,
      "def _add():\n"
      "    import os, site, sys\n"
      "    before = list(sys.path)\n"
      "    for folder in " +
          quoted(packageFolders()) +
          ".split(':'):\n"
          "        if folder: site.addsitedir(folder)\n"
          "    new = [folder for folder in sys.path if folder not in before]\n"
          "    named = [f for f in os.environ.get('PYTHONPATH', '').split(':') if f]\n"
          "    at = len(named) if " +
          (isOwn ? "True" : "False") +
          " else len(before)\n"
          "    sys.path[:] = before[:at] + new + before[at:]\n"
          "_add()\n"
          "del _add\n");
}

// Python code that OpenUSD runs must not bring another OpenUSD along.
void keepOtherOpenUsdOut(const PythonApi& api) {
  BIFROST_USD_USING
  run(api,
      "try:\n"
      "    from bifrost.usd.embedding import keep_other_openusd_out\n"
      "except ImportError:\n"
      "    pass\n"
      "else:\n"
      "    keep_other_openusd_out(" +
          quoted(fileOf(reinterpret_cast<const void*>(&ArGetResolver))) + ", " +
          quoted(packageFolders()) + ".split(':'))\n");
}

// The folder that has lib/pythonX.Y for this libpython: in an application that is no Python, the
// interpreter would guess it from whatever `python3` is on PATH.
std::string homeOf(const PythonApi& api) {
  const std::string standardLibrary = "/lib/python" + std::to_string(PY_MAJOR_VERSION) + "." +
                                      std::to_string(PY_MINOR_VERSION) + "/encodings";
  std::string folder = parentOf(fileOf(reinterpret_cast<const void*>(api.IsInitialized)));
  for (; !folder.empty(); folder = parentOf(folder)) {
    struct stat info{};
    if (stat((folder + standardLibrary).c_str(), &info) == 0) {
      break;
    }
  }
  return folder;
}

bool isBuiltFor(const PythonApi& api) {
  const std::string built =
      std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION) + ".";
  return std::string(api.GetVersion()).compare(0, built.size(), built) == 0;
}

// At the exit of a process whose interpreter we started nobody finalises Python, so nobody would
// flush the cache either.
void shutDownOwnInterpreter();

bool startInterpreter(const PythonApi& api) {
  // Not Py_InitializeEx: it aborts the process where this can return an error.
  PyConfig config;
  api.ConfigInit(&config);
  config.install_signal_handlers = 0;
  config.parse_argv = 0;
  const std::string home = std::getenv("PYTHONHOME") == nullptr ? homeOf(api) : std::string{};
  PyStatus status =
      home.empty() ? PyStatus{} : api.ConfigSetText(&config, &config.home, home.c_str());
  if (api.StatusIsException(status) == 0) {
    status = api.InitializeFromConfig(&config);
  }
  api.ConfigClear(&config);
  if (api.StatusIsException(status) != 0) {
    warnOnce(
        kSubject, "no_interpreter",
        std::string("Python did not start: ") + (status.err_msg != nullptr ? status.err_msg : ""));
    return false;
  }
  addPackageFolders(api, /*isOwn=*/true);
  keepOtherOpenUsdOut(api);
  api.SaveThread();
  std::atexit(shutDownOwnInterpreter);
  return true;
}

// Makes sure of a running interpreter, whatever threads arrive first.
bool ensureInterpreter(const PythonApi& api) {
  using Interpreter = BridgeState::Interpreter;
  BridgeState& bridge = state();
  {
    std::unique_lock<std::mutex> lock(bridge.startMutex);
    // Only threads of a process without Python wait here, so none of them owns a GIL.
    bridge.started.wait(lock, [&] { return bridge.interpreter != Interpreter::kStarting; });
    if (bridge.interpreter == Interpreter::kUnknown && api.IsInitialized() != 0) {
      bridge.interpreter = Interpreter::kRunning;  // the application's own
    }
    if (bridge.interpreter != Interpreter::kUnknown) {
      return bridge.interpreter == Interpreter::kRunning;
    }
    bridge.interpreter = Interpreter::kStarting;
  }
  const bool isRunning = isBuiltFor(api) && startInterpreter(api);
  if (!isBuiltFor(api)) {
    warnOnce(kSubject, "wrong_python",
             std::string("the libpython found is ") + api.GetVersion() +
                 ", this plugin was built for " + std::to_string(PY_MAJOR_VERSION) + "." +
                 std::to_string(PY_MINOR_VERSION) + "; name the right one in BIFROST_LIBPYTHON");
  }
  {
    const std::lock_guard<std::mutex> lock(bridge.startMutex);
    bridge.interpreter = isRunning ? Interpreter::kRunning : Interpreter::kRefused;
  }
  bridge.started.notify_all();
  return isRunning;
}

// Calls a function of the bridge that takes nothing, if the bridge was imported. With the GIL held.
void tellBridge(const PythonApi& api, const char* function) {
  const Object module(api, api.ImportModule(kModule));
  const Object callable(api, module ? api.GetAttr(module.get(), function) : nullptr);
  const Object result(api, callable ? api.Call(callable.get(), nullptr) : nullptr);
  if (!result) {
    takeError(api);
  }
}

// Refuses crossings from now on, waits, without the GIL, for those under way, and has the caches
// written. With the GIL held.
void closeBridge(const PythonApi& api) {
  BridgeState& bridge = state();
  if (bridge.wanted.load()) {
    tellBridge(api, "closing");  // whoever waits for a manager stops waiting
  }
  bridge.closed.store(true);
  const int own = passagesHere;
  PyThreadState* saved = api.SaveThread();
  const auto giveUp = std::chrono::steady_clock::now() + kLongestCrossing;
  while (bridge.inFlight.load() > own && std::chrono::steady_clock::now() < giveUp) {
    timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  api.RestoreThread(saved);
  if (bridge.wanted.load()) {
    tellBridge(api, "shutdown");
  }
}

PyObject* onPythonExit(PyObject* self, PyObject* /*arguments*/) {
  const PythonApi* api = PythonApi::inProcess();
  if (!state().closed.load()) {
    closeBridge(*api);
  }
  api->IncRef(self);
  return self;
}

PyMethodDef onPythonExitDefinition = {"bifrost_close", onPythonExit, METH_NOARGS, nullptr};

// Has `onPythonExit` called when Python ends. With the GIL held.
void callAtExit(const PythonApi& api) {
  const Object atexit(api, api.ImportModule("atexit"));
  const Object registerFunction(api, atexit ? api.GetAttr(atexit.get(), "register") : nullptr);
  Object hook(api, api.FunctionNew(&onPythonExitDefinition, atexit.get(), nullptr));
  Object arguments(api, api.TupleNew(1));
  if (registerFunction && hook && arguments) {
    api.TupleSetItem(arguments.get(), 0, hook.release());
    const Object done(api, api.Call(registerFunction.get(), arguments.get()));
  }
  api.ErrClear();
}

// From here on Python's end waits for who is on the way through the bridge, be it in its import.
// With the GIL held.
void watchExit(const PythonApi& api) {
  if (!state().watchesExit.exchange(true)) {
    callAtExit(api);
  }
}

// Before the first call, so that no exit slips in between; but behind the caches, which register
// with `atexit` when they are opened: it runs last-registered first, and `shutdown` still writes to
// them.
void hookPythonExit(const PythonApi& api) {
  if (state().exitHooked.exchange(true)) {
    return;
  }
  tellBridge(api, "warm");
  callAtExit(api);
}

void shutDownOwnInterpreter() {
  const PythonApi* api = PythonApi::inProcess();
  if (api == nullptr || api->IsInitialized() == 0 || state().closed.load()) {
    return;
  }
  const Gil gil(*api);
  closeBridge(*api);
}

Object importBridge(const PythonApi& api) {
  Object module(api, api.ImportModule(kModule));
  if (!module && !isInterrupt(api)) {
    api.ErrClear();
    addPackageFolders(api, /*isOwn=*/false);  // an application's, which doesn't know the package
    return {api, api.ImportModule(kModule)};
  }
  return module;
}

// Runs *work* with the GIL, which this thread holds, released. What it throws leaves with the GIL
// held again, as callers own Python objects. Not a guard object: taking the GIL back must not
// happen in a destructor, which is noexcept. And never `...`: a thread that Python's end unwinds by
// force has no GIL to come back to.
template <class Work>
void releasingGil(const PythonApi& api, const Work& work) {
  std::exception_ptr thrown;
  PyThreadState* saved = api.SaveThread();
  try {
    work();
  } catch (const std::exception&) {
    thrown = std::current_exception();
  }
  api.RestoreThread(saved);
  if (thrown != nullptr) {
    std::rethrow_exception(thrown);
  }
}

// Hands a reply over. The bytes stay alive and unchanged while the GIL is away.
bool deliver(const PythonApi& api, PyObject* reply,
             const std::function<void(std::string_view)>& onReply) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (api.BytesData(reply, &data, &size) != 0) {
    return false;
  }
  releasingGil(api, [&] { onReply(std::string_view(data, static_cast<std::size_t>(size))); });
  return true;
}

// Runs *work* with the GIL released, if this thread holds it. False, and nothing was done, where it
// can't be let go any more.
bool letGo(const std::function<void()>& work) {
  const PythonApi* api = PythonApi::inProcess();
  const Passage passage;
  if (api == nullptr || api->IsInitialized() == 0 || runningState(*api) == nullptr) {
    work();
    return true;
  }
  if (!passage.isOpen()) {
    return false;  // Python is ending: who lets the GIL go doesn't come back
  }
  releasingGil(*api, work);
  return true;
}

}  // namespace

PythonBridge& PythonBridge::get() {
  static auto* bridge = new PythonBridge;
  return *bridge;
}

void PythonBridge::watchExitOfPython() {
  const PythonApi* api = PythonApi::inProcess();
  if (api != nullptr && api->IsInitialized() != 0 && runningState(*api) != nullptr &&
      !isOfSecondInterpreter(*api)) {
    watchExit(*api);
  }
}

PythonBridge::Outcome PythonBridge::call(const char* function,
                                         std::initializer_list<std::string_view> arguments,
                                         const std::function<void(std::string_view)>& onReply) {
  const Crossing crossing;
  if (!crossing.isOpen()) {
    return Outcome::kClosed;
  }
  BridgeState& bridge = state();
  if (monotonicNow() < bridge.importAgainAt.load()) {
    return Outcome::kUnavailable;
  }
  const PythonApi* api = PythonApi::get();
  if (api == nullptr || !ensureInterpreter(*api)) {
    warnOnce(kSubject, "no_python",
             "no Python can be had, so only what is known already resolves; BIFROST_LIBPYTHON may "
             "name a libpython");
    return Outcome::kUnavailable;
  }
  if (!serves()) {
    return Outcome::kUnavailable;
  }
  std::string error;
  Outcome outcome = Outcome::kFailed;
  {
    const Gil gil(*api);
    Environment::read();
    watchExit(*api);
    bridge.wanted.store(true);
    const Object module = importBridge(*api);
    if (!module && !isInterrupt(*api)) {
      outcome = Outcome::kUnavailable;
      bridge.importAgainAt.store(monotonicNow() + kImportAgainAfter_s);
    } else if (module) {
      hookPythonExit(*api);
      bridge.crossings.fetch_add(1);
      const Object callable(*api, api->GetAttr(module.get(), function));
      const Object tuple = tupleOf(*api, arguments);
      const Object result(*api, callable ? api->Call(callable.get(), tuple.get()) : nullptr);
      if (result && deliver(*api, result.get(), onReply)) {
        outcome = Outcome::kAnswered;
      }
    }
    if (outcome != Outcome::kAnswered) {
      outcome = isInterrupt(*api) ? Outcome::kInterrupted : outcome;
      error = takeError(*api);
    }
  }
  if (outcome == Outcome::kUnavailable) {
    warnOnce(kSubject, "no_bridge",
             "bifrost.usd.bridge can't be imported: " + error +
                 " (BIFROST_PYTHONPATH may name the folder of the package)");
  } else if (outcome == Outcome::kFailed) {
    warnOnce(kSubject, error, std::string(function) + " failed: " + error);
  }
  return outcome;
}

PythonBridge::Outcome PythonBridge::callAside(
    const char* function, std::initializer_list<std::string_view> arguments,
    const std::function<void(std::string_view)>& onReply) {
  const PythonApi* api = PythonApi::inProcess();
  if (api == nullptr || api->IsInitialized() == 0) {
    return call(function, arguments, onReply);  // its thread would become Python's main one
  }
  Outcome outcome = Outcome::kFailed;
  std::string error;
  const auto work = [&] {
    try {
      outcome = call(function, arguments, onReply);
    } catch (const std::exception& caught) {  // and never `...`, as above
      error = caught.what();
    }
  };
  withoutGil([&] {
    try {
      std::thread(work).join();
    } catch (const std::system_error&) {  // no thread can be had
      work();
    }
  });
  if (!error.empty()) {
    throw std::runtime_error(error);
  }
  return outcome;
}

void PythonBridge::withoutGil(const std::function<void()>& work) {
  if (!letGo(work)) {
    work();
  }
}

void PythonBridge::waitWithoutGil(const std::function<void()>& wait) { letGo(wait); }

bool PythonBridge::serves() {
  const PythonApi* api = PythonApi::inProcess();
  if (api == nullptr || api->IsInitialized() == 0 || !isOfSecondInterpreter(*api)) {
    return true;
  }
  warnOnce(kSubject, "second_interpreter",
           "a second Python interpreter of this process resolves; only the first one is served, so "
           "only what is known already resolves there");
  return false;
}

bool PythonBridge::withGil(const std::function<void()>& work) {
  const PythonApi* api = PythonApi::inProcess();
  if (api == nullptr || api->IsInitialized() == 0) {
    return false;
  }
  const Crossing crossing;
  if (!crossing.isOpen() || isOfSecondInterpreter(*api)) {
    return false;
  }
  const Gil gil(*api);
  work();
  return true;
}

bool PythonBridge::holdsGil() {
  const PythonApi* api = PythonApi::found();
  const PyThreadState* own = api != nullptr ? api->ThisThreadState() : nullptr;
  return own != nullptr && own == api->CurrentThreadState();
}

bool PythonBridge::isInside() { return insideDepth > 0; }

std::uint64_t PythonBridge::crossings() { return state().crossings.load(); }

namespace {

// A mutex that another thread held at the fork would stay locked in the child for ever. Their
// holders wait for nothing, so taking them all here is safe, with the GIL held too.
void beforeFork() {
  ContextAnswers::flightsMutex().lock();
  ContextAnswers::registryMutex().lock();
  Pins::listMutex().lock();
  ResolutionTable::writerMutex().lock();
  Environment::mutex().lock();
  warningsMutex().lock();
}

void afterForkInParent() {
  warningsMutex().unlock();
  Environment::mutex().unlock();
  ResolutionTable::writerMutex().unlock();
  Pins::listMutex().unlock();
  ContextAnswers::registryMutex().unlock();
  ContextAnswers::flightsMutex().unlock();
}

void afterForkInChild() {
  afterForkInParent();
  ContextAnswers::forgetFlights();  // their pilots stayed behind
  state().inFlight.store(passagesHere);
  if (!state().exitHooked.load()) {
    state().wanted.store(false);  // who imported it stayed behind, with Python's lock of the module
  }
}

}  // namespace

void installForkHandlers() { pthread_atfork(beforeFork, afterForkInParent, afterForkInChild); }

}  // namespace bifrost
