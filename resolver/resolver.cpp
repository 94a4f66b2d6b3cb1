// SPDX-License-Identifier: Apache-2.0
#include "resolver.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "asset_path.h"
#include "counters.h"
#include "diagnostics.h"
#include "environment.h"
#include "layer_scan.h"
#include "pins.h"
#include "python_bridge.h"
#include "wire.h"

BIFROST_USD_NAMESPACE_OPEN

AR_DEFINE_RESOLVER(BifrostResolver, ArResolver);

BIFROST_USD_NAMESPACE_CLOSE

BIFROST_USD_USING

using bifrost::ContextAnswers;
using bifrost::Environment;
using bifrost::PythonBridge;
using bifrost::Resolution;

namespace {

// How long a failure of the bridge itself counts as the answer, so that a herd does not repeat it.
constexpr double kBridgeFailureLasts_s = 1.0;
constexpr std::chrono::seconds kFlightPatience{120};
constexpr const char* kReplacing = "replacing";  // a flight, and no reference: those have a scheme
constexpr const char* kAhead = "ahead";  // of what composition has opened (`resolve` in bridge.py)
// Longer than Ar takes from one of a refresh's calls to the next (`Refreshed`).
constexpr double kRefreshLasts_s = 1.0;

[[maybe_unused]] const bool forkHandlersInstalled = [] {
  bifrost::installForkHandlers();
  return true;
}();

// What the table and the managers know an asset path by: without file format arguments and what is
// said for writing, its scheme in lower case, as Ar routes it.
class Identifier {
 public:
  explicit Identifier(const std::string& assetPath) : view_(bifrost::withoutFormatArgs(assetPath)) {
    const std::string_view scheme = view_.substr(0, view_.find(':'));
    const auto isUpper = [](char ch) { return ch >= 'A' && ch <= 'Z'; };
    if (std::any_of(scheme.begin(), scheme.end(), isUpper)) {
      lowered_ = view_;
      for (std::size_t i = 0; i < scheme.size(); ++i) {
        lowered_[i] =
            isUpper(lowered_[i]) ? static_cast<char>(lowered_[i] - 'A' + 'a') : lowered_[i];
      }
      view_ = lowered_;
    }
    if (std::string kept = bifrost::withoutWritingParameters(view_); !kept.empty()) {
      lowered_ = std::move(kept);
      view_ = lowered_;
    }
  }
  Identifier(const Identifier&) = delete;
  Identifier& operator=(const Identifier&) = delete;

  std::string_view view() const { return view_; }

 private:
  std::string lowered_;
  std::string_view view_;
};

std::string environmentText(const Environment& environment) {
  return bifrost::withEnvironmentPins(environment.value("BIFROST_CONTEXT").value_or(""),
                                      environment);
}

// The policy of contexts that nobody gave one.
std::string environmentPolicy(const Environment& environment) {
  std::string complaint;
  const std::string policy = bifrost::canonicalPolicy(environmentText(environment), &complaint);
  if (!complaint.empty()) {
    bifrost::warnOnce("BIFROST_CONTEXT", "ignored", complaint);
  }
  return policy;
}

// What a thread resolves with when no context is bound. It owns it: to share it instead would have
// every thread write to one counter with each resolve.
struct Unbound {
  std::shared_ptr<const Environment> environment;
  std::string text;  // of it
  std::shared_ptr<ContextAnswers> answers;
  // What was replaced inside a call of Ar's: those around it may look at it still.
  std::vector<std::shared_ptr<ContextAnswers>> replaced;
};

// Plain values, which are there to a thread's very end: `exit` and finalizers resolve, too.
thread_local Unbound* unboundHere = nullptr;
thread_local std::size_t arCallsHere = 0;

struct UnboundEnds {
  ~UnboundEnds() {
    if (arCallsHere == 0) {  // else the thread exits inside of one
      delete std::exchange(unboundHere, nullptr);
    }
  }
};

Unbound& ownUnbound() {
  if (unboundHere == nullptr) {
    unboundHere = new Unbound;
    // What a thread makes behind this one's end is left to the process.
    thread_local const UnboundEnds ends;
  }
  return *unboundHere;
}

// A call of Ar's. They nest: Python that the bridge, or a diagnostic, runs may resolve.
class ArCall {
 public:
  ArCall() { ++arCallsHere; }
  ~ArCall() {
    if (--arCallsHere == 0 && unboundHere != nullptr && !unboundHere->replaced.empty()) {
      unboundHere->replaced.clear();
    }
  }
  ArCall(const ArCall&) = delete;
  ArCall& operator=(const ArCall&) = delete;
};

// The environment for a resolve with no context bound: as it was read last, and where it can be
// looked at for little, as it is. Nothing waits here, and no thread writes what others read.
std::shared_ptr<const Environment> environmentToResolveIn(const Environment* known) {
  if (known != nullptr && known->isLast() && (!PythonBridge::holdsGil() || known->policyStands())) {
    return nullptr;
  }
  return PythonBridge::holdsGil() ? Environment::read() : Environment::last();
}

// That OpenUSD asked this, and nothing that it asks before it writes. Inside an `ArCall`: what
// Python asks in the middle of one is no sign.
void noteOtherCall() {
  if (arCallsHere == 1) {
    bifrost::noteOther();
  }
}

// The answers for resolves with no context bound, under the environment's policy. Only inside an
// `ArCall`; valid until the outermost one ends.
ContextAnswers& unboundAnswers() {
  Unbound& own = ownUnbound();
  bool isNew = own.answers == nullptr || own.answers->isSpent();
  if (auto environment = environmentToResolveIn(own.environment.get())) {
    own.environment = std::move(environment);
    std::string text = environmentText(*own.environment);
    isNew = isNew || text != own.text;
    own.text = std::move(text);
  }
  if (isNew) {
    const std::string policy = environmentPolicy(*own.environment);
    std::shared_ptr<const bifrost::Pins> pins;
    PythonBridge::withoutGil([&] { pins = bifrost::pinsOf(policy); });
    if (own.answers != nullptr) {
      own.replaced.push_back(std::move(own.answers));
    }
    own.answers = ContextAnswers::unbound(policy, std::move(pins));
  }
  return *own.answers;
}

// A context, whose pins are read without the GIL, though it may be held.
BifrostResolverContext contextOf(const std::string& policy, const std::string& root) {
  BifrostResolverContext context;
  PythonBridge::withoutGil([&] { context = BifrostResolverContext(policy, root); });
  return context;
}

// The identifier of *assetPath* in a layer at *anchor*, a reference: Ar asks us whose scheme either
// has. A scheme makes it absolute and opaque to us: never anchored, never normalised. So is an
// absolute path, and a bare one, which is looked for where the context says. Beside a reference
// there is nothing: what is to be found there is named below it, which no reference is, as the
// resolver of files would look in the current directory.
std::string anchored(const std::string& assetPath, const std::string& anchor) {
  const bool isBeside = assetPath.compare(0, 2, "./") == 0 || assetPath.compare(0, 3, "../") == 0;
  if (!isBeside || anchor.empty()) {
    return assetPath;
  }
  return anchor.substr(0, anchor.find('?')) + '/' + assetPath;
}

// What is known without asking anybody: pinned, or in the table.
const Resolution* knownTo(const ContextAnswers& answers, std::string_view identifier) {
  const bifrost::Pins* pins = answers.pins();
  const Resolution* pinned = pins != nullptr ? pins->find(identifier) : nullptr;
  return pinned != nullptr ? pinned : answers.table().find(identifier);
}

std::vector<std::string> notPinned(const ContextAnswers& answers,
                                   std::vector<std::string> identifiers) {
  if (const bifrost::Pins* pins = answers.pins()) {
    identifiers.erase(std::remove_if(identifiers.begin(), identifiers.end(),
                                     [&](const std::string& identifier) {
                                       return pins->find(identifier) != nullptr;
                                     }),
                      identifiers.end());
  }
  return identifiers;
}

// Whether its pins are all that may answer: then nobody is asked, and Python never started.
bool isFrozen(const ContextAnswers& answers) {
  return answers.pins() != nullptr && answers.pins()->isFinal();
}

// The schemes that the plugInfo.json in force gave us.
const std::vector<std::string>& ownSchemes() {
  static const auto* schemes = [] {
    auto* found = new std::vector<std::string>;
    const TfType type = TfType::FindByName("BifrostResolver");
    const PlugPluginPtr plugin = PlugRegistry::GetInstance().GetPluginForType(type);
    if (plugin) {
      const JsObject metadata = plugin->GetMetadataForType(type);
      const auto value = metadata.find("uriSchemes");
      if (value != metadata.end() && value->second.IsArrayOf<std::string>()) {
        *found = value->second.GetArrayOf<std::string>();
      }
    }
    return found;
  }();
  return *schemes;
}

// Whether *assetPath* has one of them, in whatever case.
bool hasOwnScheme(std::string_view assetPath) {
  const std::string_view scheme = assetPath.substr(0, assetPath.find(':'));
  const auto isSame = [](char one, char other) {
    return std::tolower(static_cast<unsigned char>(one)) ==
           std::tolower(static_cast<unsigned char>(other));
  };
  return scheme.size() < assetPath.size() &&
         std::any_of(
             ownSchemes().begin(), ownSchemes().end(),
             [&](const std::string& own) {
               return std::equal(own.begin(), own.end(), scheme.begin(), scheme.end(), isSame);
             });
}

bifrost::Answers decoded(std::string_view reply) {
  auto answers = bifrost::decodeAnswers(reply);
  if (!answers) {
    bifrost::warnOnce("Python bridge", "bad_reply", "the bridge's reply can't be read");
    return {};
  }
  return std::move(*answers);
}

std::string joined(const std::vector<std::string>& identifiers) {
  std::string text;
  for (const std::string& identifier : identifiers) {
    text += (text.empty() ? "" : std::string(1, '\0')) + identifier;
  }
  return text;
}

// Whether the file of an answer is one whose references can be found.
bool isLayer(const Resolution& answer) {
  return !answer.templated && bifrost::isReadableLayer(answer.path);
}

// Asks the bridge for *identifiers* and adds what it answers to the table. Of these, *layers* takes
// the layer files whose references nobody has asked for yet.
PythonBridge::Outcome fill(ContextAnswers& answers, const std::vector<std::string>& identifiers,
                           const std::string& known, std::vector<std::string>* layers) {
  const auto take = [&](std::string_view reply) {
    bifrost::Answers fresh = decoded(reply);
    for (const Resolution& answer : fresh.resolutions) {
      if (!fresh.isComplete && isLayer(answer)) {
        layers->push_back(answer.path);
      }
    }
    TF_DEBUG(BIFROST_BRIDGE)
        .Msg("BIFROST_BRIDGE: asked for %zu, answered %zu%s, %zu bytes\n", identifiers.size(),
             fresh.resolutions.size(), fresh.isComplete ? " (all there is)" : "", reply.size());
    answers.table().add(std::move(fresh.resolutions));
  };
  const ContextAnswers::Asking asking(answers);
  return PythonBridge::get().call(
      "resolve", {answers.policy(), answers.root(), joined(identifiers), known}, take);
}

// The references that the layer files at *paths* hold. Without the GIL, though it may be held: a
// Python thread that resolves owns it, and reading files takes its time.
std::vector<std::string> referencesNamedBy(const std::vector<std::string>& paths) {
  std::vector<std::string> references;
  if (!paths.empty()) {
    PythonBridge::withoutGil([&] { references = bifrost::referencesInAll(paths, ownSchemes()); });
  }
  return references;
}

// Those of them that the table has no answer for.
std::vector<std::string> unknownReferences(const ContextAnswers& answers,
                                           const std::vector<std::string>& layers) {
  std::vector<std::string> references = referencesNamedBy(layers);
  references.erase(std::remove_if(references.begin(), references.end(),
                                  [&](const std::string& reference) {
                                    return knownTo(answers, reference) != nullptr;
                                  }),
                   references.end());
  return references;
}

// Asks for *breadth*, and then, breadth by breadth, for what the layers that it resolved to name: a
// manager that can't say what a shot needs is asked as often as the shot has levels. Returns what
// became of the first question.
PythonBridge::Outcome askAhead(ContextAnswers& answers, std::vector<std::string> breadth) {
  auto first = PythonBridge::Outcome::kAnswered;
  std::string known = std::to_string(answers.table().size());
  std::set<std::string> asked;
  while (!breadth.empty()) {
    asked.insert(breadth.begin(), breadth.end());
    std::vector<std::string> layers;
    const PythonBridge::Outcome outcome = fill(answers, breadth, known, &layers);
    first = known == kAhead ? first : outcome;
    known = kAhead;
    breadth.clear();
    for (std::string& reference : unknownReferences(answers, layers)) {
      if (asked.count(reference) == 0) {
        breadth.push_back(std::move(reference));
      }
    }
  }
  return first;
}

// Asks for what the layers name that *moved* resolve to now: another version may need other
// entities.
void askAheadOf(ContextAnswers& answers, const std::vector<bifrost::Move>& moved) {
  std::vector<std::string> layers;
  for (const bifrost::Move& move : moved) {
    const Resolution* known = answers.table().find(move.identifier);
    if (known != nullptr && isLayer(*known)) {
      layers.push_back(known->path);
    }
  }
  askAhead(answers, unknownReferences(answers, layers));
}

// What a refresh is about: what the manager answered, and what it did not, which may be another now
// though nothing changed there.
struct Floating {
  std::vector<std::string> settled;
  std::vector<std::string> unsettled;
};

Floating floatingIn(const ContextAnswers& answers) {
  Floating floating;
  for (const Resolution* answer : answers.table().held()) {
    if (answers.pins() != nullptr && answers.pins()->find(answer->identifier) != nullptr) {
      continue;
    }
    const bool isSettled = answer->resolved() && !bifrost::isStandIn(answer->tier);
    (isSettled ? floating.settled : floating.unsettled).push_back(answer->identifier);
  }
  return floating;
}

// What the bridge answers anew for what floats; nothing where that can't be another.
//
// The bridge notes up to which change everything is true then. An answer that it gave to somebody
// else, and that was not in the table to be asked for again, may be older.
std::vector<Resolution> askedAnew(const ContextAnswers& answers) {
  std::vector<Resolution> fresh;
  const ContextAnswers::Quiet quiet(answers);
  const Floating floating = isFrozen(answers) ? Floating{} : floatingIn(answers);
  if (!floating.settled.empty() || !floating.unsettled.empty()) {
    PythonBridge::get().call(
        "refresh",
        {answers.policy(), answers.root(), joined(floating.settled), joined(floating.unsettled)},
        [&](std::string_view reply) { fresh = std::move(decoded(reply).resolutions); });
    if (!quiet.was()) {
      PythonBridge::get().call("hold_back", {answers.policy(), answers.root()},
                               [](std::string_view) {});
    }
  }
  return fresh;
}

// Runs *work* while no other thread replaces answers of this context: who asked first must not be
// who replaces last. No lock is held meanwhile.
void replacing(ContextAnswers& answers, const std::function<void()>& work) {
  bool isDone = PythonBridge::isInside();  // where nobody may be waited for
  if (isDone) {
    work();
  }
  while (!isDone) {
    const auto alone = [&] {
      isDone = true;
      work();
    };
    if (!answers.shareFlight(kReplacing, alone, PythonBridge::waitWithoutGil, kFlightPatience)) {
      alone();
    }
  }
}

// What this thread refreshed last. Ar calls `RefreshContext` once for each scheme that a resolver
// has: the first call does it all, another request would find that nothing moved, and tell so.
struct Refreshed {
  const ContextAnswers* of = nullptr;
  std::size_t repeats = 0;  // to come
  double until = 0.0;
};

thread_local Refreshed lastRefreshed;

bool isRepeated(const ContextAnswers& answers) {
  Refreshed& last = lastRefreshed;
  if (last.of != &answers || last.repeats == 0 || bifrost::monotonicNow() > last.until) {
    return false;
  }
  --last.repeats;
  return true;
}

// After the notice: a listener may refresh as well.
void noteRefreshed(const ContextAnswers& answers) {
  static const auto schemes = [] {
    const std::vector<std::string>& registered = ArGetRegisteredURISchemes();
    return std::count_if(ownSchemes().begin(), ownSchemes().end(), [&](const std::string& own) {
      return std::find(registered.begin(), registered.end(), own) != registered.end();
    });
  }();
  const auto repeats = static_cast<std::size_t>(std::max<std::ptrdiff_t>(schemes - 1, 0));
  lastRefreshed = {&answers, repeats, bifrost::monotonicNow() + kRefreshLasts_s};
}

// Asks the bridge for one identifier. Whatever happens, the table has an answer for it afterwards:
// but if somebody pressed Ctrl-C, which says nothing of it.
void ask(ContextAnswers& answers, const std::string& identifier) {
  TF_DEBUG(BIFROST_RESOLVE)
      .Msg("BIFROST_RESOLVE: miss %s in (%s) %s\n", bifrost::printable(identifier).c_str(),
           answers.policy().c_str(), bifrost::printable(answers.root()).c_str());
  std::vector<std::string> layers;
  // With no context bound there is no opening that more could be known of.
  const PythonBridge::Outcome outcome = answers.isUnbound()
                                            ? fill(answers, {identifier}, "unbound", &layers)
                                            : askAhead(answers, {identifier});
  if (outcome == PythonBridge::Outcome::kInterrupted) {
    return;
  }
  if (answers.table().find(identifier) == nullptr) {
    Resolution nothing;
    nothing.identifier = identifier;
    nothing.failureCode = "unanswered";
    nothing.message = "the bridge gave no answer";
    nothing.freshUntil = bifrost::monotonicNow() + kBridgeFailureLasts_s;
    std::vector<Resolution> one;
    one.push_back(std::move(nothing));
    answers.table().add(std::move(one));
  }
}

// Asks for one identifier, or waits for the thread that is asking for it already.
void askOnce(ContextAnswers& answers, const std::string& flight, const std::string& identifier) {
  answers.shareFlight(
      flight,
      [&] {
        if (answers.table().find(identifier) == nullptr) {
          ask(answers, identifier);
        }
      },
      PythonBridge::waitWithoutGil, kFlightPatience);
}

const Resolution* lookUp(ContextAnswers& answers, std::string_view identifier,
                         bool isAgain = false) {
  if (const bifrost::Pins* pins = answers.pins()) {
    const Resolution* pinned = pins->answer(identifier);
    if (pinned != nullptr || pins->isFinal()) {
      bifrost::countHit();
      return pinned;
    }
  }
  if (const Resolution* known = answers.table().find(identifier)) {
    bifrost::countHit();
    return known;
  }
  bifrost::countMiss();
  if (!PythonBridge::serves()) {
    return nullptr;  // and no failure to remember: others of the process are served
  }
  const std::string key(identifier);
  if (PythonBridge::isInside()) {
    ask(answers, key);
  } else {
    if (answers.table().size() == 0) {
      // The first miss of a context brings its whole closure: threads that miss something else
      // meanwhile wait for that, and then most likely have their answer too.
      askOnce(answers, /*flight=*/{}, key);
    }
    if (answers.table().find(identifier) == nullptr) {
      askOnce(answers, key, key);
    }
  }
  if (answers.isUnbound() && !isAgain) {
    // Whoever asks reads the environment, and it may have another policy by now. Of a table that
    // was spent meanwhile the answer is still there.
    ContextAnswers& current = unboundAnswers();
    if (current.policy() != answers.policy()) {
      return lookUp(current, identifier, /*isAgain=*/true);
    }
  }
  return answers.table().find(identifier);
}

// The root as its file says, read without the GIL, though it may be held.
bifrost::RootScan scanned(const std::string& root) {
  bifrost::RootScan scan;
  PythonBridge::withoutGil([&] { scan = bifrost::scanRoot(root, ownSchemes()); });
  return scan;
}

// The policy of a root with settings of its own: what the environment says comes before them.
std::string policyOfRoot(const std::string& root, const Environment& environment) {
  std::string text;
  PythonBridge::get().call("root_settings", {root},
                           [&](std::string_view reply) { text = std::string(reply); });
  std::string complaint;  // the environment's, which has been told; the bridge tells the root's
  return bifrost::canonicalPolicy(text + ";" + environmentText(environment), &complaint);
}

// Asks ahead of composition for what the root names, once for each root.
void prepare(const BifrostResolverContext& context, std::vector<std::string> named) {
  ContextAnswers& answers = *context.answers();
  if (isFrozen(answers) || !answers.claimPreparation()) {
    return;
  }
  named = notPinned(answers, std::move(named));
  if (!named.empty()) {
    TF_DEBUG(BIFROST_CONTEXT).Msg("BIFROST_CONTEXT: asking ahead of %s\n", context.text().c_str());
    askAhead(answers, std::move(named));
  }
}

// Runs an override's body; what it throws becomes a warning and the fallback.
template <class Value, class Body>
Value guarded(const char* override, Value fallback, Body body) {
  const ArCall call;
  try {
    return body();
  } catch (const std::exception& error) {  // and never `...`: design of the end of Python
    bifrost::warnOnce(override, error.what(), error.what());
    return fallback;
  }
}

}  // namespace

BIFROST_USD_NAMESPACE_OPEN

ContextAnswers& BifrostResolver::currentAnswers() const {
  const auto* context = _GetCurrentContextObject<BifrostResolverContext>();
  ContextAnswers* answers = context != nullptr ? context->answers() : nullptr;
  return answers != nullptr ? *answers : unboundAnswers();
}

BifrostResolver::BifrostResolver() { PythonBridge::watchExitOfPython(); }

std::string BifrostResolver::_CreateIdentifier(const std::string& assetPath,
                                               const ArResolvedPath& anchorAssetPath) const {
  const ArCall call;
  noteOtherCall();
  return anchored(assetPath, anchorAssetPath);
}

std::string BifrostResolver::_CreateIdentifierForNewAsset(
    const std::string& assetPath, const ArResolvedPath& anchorAssetPath) const {
  const std::string identifier = anchored(assetPath, anchorAssetPath);
  bifrost::noteIdentifierForNewAsset(identifier);
  return identifier;
}

ArResolvedPath BifrostResolver::_Resolve(const std::string& assetPath) const {
  return guarded("Resolve", ArResolvedPath{}, [&] {
    if (bifrost::noteResolve(assetPath)) {
      return ArResolvedPath{};
    }
    noteOtherCall();
    const Resolution* known = lookUp(currentAnswers(), Identifier(assetPath).view());
    if (known == nullptr) {
      return ArResolvedPath{};
    }
    if (!known->resolved() && !bifrost::draftWritten(assetPath)) {
      bifrost::warnOnce(known->identifier, known->failureCode, known->message);
    }
    return ArResolvedPath(known->path);
  });
}

ArResolvedPath BifrostResolver::_ResolveForNewAsset(const std::string& assetPath) const {
  // Keeps the scheme, so that the questions about writing come here and not to the resolver of
  // files, which would overwrite the published one.
  bifrost::noteResolveForNewAsset(assetPath);
  return ArResolvedPath(assetPath);
}

ArResolverContext BifrostResolver::_CreateDefaultContext() const {
  return guarded("CreateDefaultContext", ArResolverContext{}, [] {
    bifrost::makeContextsPrintable();
    const auto environment = Environment::read();
    return ArResolverContext(contextOf(environmentPolicy(*environment), {}));
  });
}

ArResolverContext BifrostResolver::_CreateDefaultContextForAsset(
    const std::string& assetPath) const {
  return guarded("CreateDefaultContextForAsset", ArResolverContext{}, [&] {
    bifrost::makeContextsPrintable();
    const auto environment = Environment::read();
    BifrostResolverContext context = contextOf(environmentPolicy(*environment), assetPath);
    if (isFrozen(*context.answers())) {
      return ArResolverContext(context);
    }
    bifrost::RootScan root = scanned(assetPath);
    if (root.hasSettings && !root.references.empty()) {
      context = contextOf(policyOfRoot(assetPath, *environment), assetPath);
    }
    prepare(context, std::move(root.references));
    return ArResolverContext(context);
  });
}

ArResolverContext BifrostResolver::_CreateContextFromString(const std::string& contextText) const {
  return guarded("CreateContextFromString", ArResolverContext{}, [&] {
    bifrost::makeContextsPrintable();
    std::string complaint;
    const auto environment = Environment::read();
    const std::string policy = bifrost::canonicalPolicy(
        bifrost::withEnvironmentPins(contextText, *environment), &complaint);
    if (!complaint.empty()) {
      bifrost::warnOnce("context string", complaint, complaint);
    }
    return ArResolverContext(contextOf(policy, {}));
  });
}

// Asks again what floats, in one batch, and tells the stages of this context, if anything moved.
// The context is the argument, never the bound one: nothing is bound when an application refreshes.
void BifrostResolver::_RefreshContext(const ArResolverContext& context) {
  guarded("RefreshContext", false, [&] {
    const auto* own = context.Get<BifrostResolverContext>();
    if (own == nullptr || own->answers() == nullptr) {
      return false;
    }
    ContextAnswers& answers = *own->answers();
    if (isRepeated(answers)) {
      return false;
    }
    Environment::read();
    unboundAnswers().table().expireFloating();
    std::vector<bifrost::Move> moved;
    replacing(answers, [&] { moved = answers.table().replace(askedAnew(answers)); });
    TF_DEBUG(BIFROST_CONTEXT)
        .Msg("BIFROST_CONTEXT: refreshed %s: %zu moved\n", own->text().c_str(), moved.size());
    if (!moved.empty()) {
      askAheadOf(answers, moved);
      ArNotice::ResolverChanged(*own).Send();
    }
    noteRefreshed(answers);
    return true;
  });
}

bool BifrostResolver::_IsContextDependentPath(const std::string& assetPath) const {
  bifrost::noteIsContextDependent(assetPath);
  // With false, Sdf would hand the layer that another context resolved to whoever asks next.
  return true;
}

std::string BifrostResolver::_GetExtension(const std::string& assetPath) const {
  if (!hasOwnScheme(assetPath)) {
    return TfGetExtension(assetPath);  // of a file inside a package that a reference names
  }
  const bool isCreated = bifrost::noteExtension(assetPath);
  return guarded("GetExtension", std::string{}, [&] {
    const Identifier own(assetPath);
    const std::string_view identifier = own.view();
    const bool isOurs = identifier.substr(0, bifrost::kOwnPrefix.size()) == bifrost::kOwnPrefix;
    const Resolution* known = knownTo(currentAnswers(), identifier);
    const std::string_view version = bifrost::parameterOf(identifier, "version");
    const bool floats = version.empty() || version == "latest";
    if (known == nullptr && isOurs && (floats || bifrost::extensionOf(identifier).empty())) {
      known = lookUp(currentAnswers(), identifier);  // a new version is as the one before
    }
    const std::string current = known != nullptr ? known->path : std::string{};
    const bool isNew = known == nullptr || known->failureCode == "not_found";
    const bool canBe = isNew || (known->resolved() && bifrost::canBeWrittenTo(assetPath, current));
    const bool isWritten = isCreated || (isOurs && canBe);
    return isWritten ? bifrost::extensionToWrite(bifrost::withoutFormatArgs(assetPath), current)
                     : bifrost::extensionOf(current.empty() ? identifier : current);
  });
}

ArAssetInfo BifrostResolver::_GetAssetInfo(const std::string& assetPath,
                                           const ArResolvedPath& /*resolvedPath*/) const {
  bifrost::noteAssetInfo(assetPath);
  return guarded("GetAssetInfo", ArAssetInfo{}, [&] {
    ArAssetInfo info;
    const Identifier own(assetPath);
    const std::string_view identifier = own.view();
    const Resolution* known = knownTo(currentAnswers(), identifier);
    if (known == nullptr || !known->resolved()) {
      return info;
    }
    info.assetName = known->name;
    info.version = known->version;
    VtDictionary details;
    details["entityReference"] = VtValue(std::string(identifier));
    details["name"] = VtValue(known->name);
    details["version"] = VtValue(known->version);
    details["manager"] = VtValue(known->manager);
    details["tier"] = VtValue(std::string(bifrost::tierName(known->tier)));
    details["immutable"] = VtValue(known->immutable);
    details["microseconds"] = VtValue(static_cast<double>(known->microseconds));
    info.resolverInfo = VtValue(std::move(details));
    return info;
  });
}

ArTimestamp BifrostResolver::_GetModificationTimestamp(const std::string& assetPath,
                                                       const ArResolvedPath& resolvedPath) const {
  return guarded("GetModificationTimestamp", ArTimestamp{}, [&] {
    const Resolution* known = knownTo(currentAnswers(), Identifier(assetPath).view());
    if (known != nullptr && known->immutable && known->modified > 0.0) {
      return ArTimestamp(known->modified);
    }
    if (const auto written = bifrost::draftWritten(resolvedPath)) {
      return ArTimestamp(*written);
    }
    const bool isWritten = known != nullptr && known->resolved() &&
                           resolvedPath.GetPathString() == bifrost::withoutFormatArgs(assetPath);
    return ArFilesystemAsset::GetModificationTimestamp(isWritten ? ArResolvedPath(known->path)
                                                                 : resolvedPath);
  });
}

std::shared_ptr<ArAsset> BifrostResolver::_OpenAsset(const ArResolvedPath& resolvedPath) const {
  return guarded("OpenAsset", std::shared_ptr<ArAsset>{}, [&]() -> std::shared_ptr<ArAsset> {
    if (std::shared_ptr<ArAsset> written = bifrost::openWritten(resolvedPath)) {
      return written;
    }
    const Resolution* known = lookUp(currentAnswers(), Identifier(resolvedPath).view());
    if (known == nullptr || !known->resolved()) {
      return nullptr;
    }
    bifrost::noteOpened(resolvedPath, known->path);
    return ArFilesystemAsset::Open(ArResolvedPath(known->path));
  });
}

// What a publish needs of the context that is bound now.
bifrost::WritingFor BifrostResolver::writingFor() const {
  ContextAnswers& answers = currentAnswers();
  const auto learn = [answers = answers.shared_from_this()](std::string_view reply) {
    const ArCall call;
    replacing(*answers, [&] { answers->table().learn(std::move(decoded(reply).resolutions)); });
    unboundAnswers().table().expireFloating();
  };
  const auto asking = [answers = answers.shared_from_this()]() -> std::shared_ptr<void> {
    // With the answers that it is about.
    struct Held {
      explicit Held(std::shared_ptr<ContextAnswers> about)
          : answers(std::move(about)), asking(*answers) {}
      const std::shared_ptr<ContextAnswers> answers;
      const ContextAnswers::Asking asking;
    };
    return std::make_shared<Held>(answers);
  };
  return {answers.policy(), isFrozen(answers), asking, learn};
}

// The file that *resolvedPath*, a reference, is known to resolve to now; empty for none.
std::string BifrostResolver::fileAt(const std::string& resolvedPath) const {
  const Resolution* known = knownTo(currentAnswers(), Identifier(resolvedPath).view());
  return known != nullptr ? known->path : std::string{};
}

bool BifrostResolver::_CanWriteAssetToPath(const ArResolvedPath& resolvedPath,
                                           std::string* whyNot) const {
  return guarded("CanWriteAssetToPath", false, [&] {
    return bifrost::canWrite(resolvedPath, writingFor(), fileAt(resolvedPath), whyNot);
  });
}

std::shared_ptr<ArWritableAsset> BifrostResolver::_OpenAssetForWrite(
    const ArResolvedPath& resolvedPath, WriteMode writeMode) const {
  return guarded("OpenAssetForWrite", std::shared_ptr<ArWritableAsset>{}, [&] {
    return bifrost::openForWrite(resolvedPath, writeMode, writingFor(), fileAt(resolvedPath));
  });
}

BIFROST_USD_NAMESPACE_CLOSE
