// SPDX-License-Identifier: Apache-2.0
#include "context_answers.h"

namespace bifrost {

namespace {

using Registry = std::unordered_map<std::string, std::weak_ptr<ContextAnswers>>;

// Leaked, as everything that a thread may touch while the process's statics are being destroyed.
Registry& registry() {
  static auto* map = new Registry;
  return *map;
}

using ByPolicy = std::unordered_map<std::string, std::shared_ptr<ContextAnswers>>;

ByPolicy& unboundAnswers() {
  static auto* map = new ByPolicy;
  return *map;
}

std::string keyOf(const std::string& policy, const std::string& root) {
  return policy + '\0' + root;
}

}  // namespace

struct ContextAnswers::Flight {
  std::condition_variable landed;
  bool done = false;
};

ContextAnswers::ContextAnswers(std::string policy, std::string root, Freshness freshness,
                               std::shared_ptr<const Pins> pins)
    : policy_(std::move(policy)),
      root_(std::move(root)),
      pins_(std::move(pins)),
      table_(freshness) {}

ContextAnswers::~ContextAnswers() {
  const std::lock_guard<std::mutex> lock(registryMutex());
  const auto found = registry().find(keyOf(policy_, root_));
  // Between the last owner's release and this line another thread may have registered new answers.
  if (found != registry().end() && found->second.expired()) {
    registry().erase(found);
  }
}

std::mutex& ContextAnswers::registryMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

std::mutex& ContextAnswers::flightsMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

std::shared_ptr<ContextAnswers> ContextAnswers::of(const std::string& policy,
                                                   const std::string& root,
                                                   std::shared_ptr<const Pins> pins) {
  const std::lock_guard<std::mutex> lock(registryMutex());
  std::weak_ptr<ContextAnswers>& known = registry()[keyOf(policy, root)];
  std::shared_ptr<ContextAnswers> answers = known.lock();
  if (!answers) {
    answers =
        std::make_shared<ContextAnswers>(policy, root, Freshness::kUntilRefreshed, std::move(pins));
    known = answers;
  }
  return answers;
}

std::shared_ptr<ContextAnswers> ContextAnswers::unbound(const std::string& policy,
                                                        std::shared_ptr<const Pins> pins) {
  ByPolicy replaced;  // goes behind the lock, which the destructor of answers takes
  const std::lock_guard<std::mutex> lock(registryMutex());
  ByPolicy& known = unboundAnswers();
  const auto found = known.find(policy);
  if (found != known.end() && !found->second->isSpent()) {
    return found->second;
  }
  if (found != known.end()) {
    pins = found->second->pins_;  // as they were when the process first asked
    replaced.insert(known.extract(found));
  } else if (known.size() >= kMostUnboundPolicies) {
    replaced.swap(known);
  }
  for (const auto& [policyBefore, answers] : replaced) {
    answers->isReplaced_.store(true, std::memory_order_relaxed);
  }
  return known[policy] = std::make_shared<ContextAnswers>(policy, std::string{},
                                                          Freshness::kExpires, std::move(pins));
}

std::vector<std::shared_ptr<ContextAnswers>> ContextAnswers::all() {
  std::vector<std::shared_ptr<ContextAnswers>> living;
  const std::lock_guard<std::mutex> lock(registryMutex());
  for (const auto& [key, answers] : registry()) {
    if (auto alive = answers.lock()) {
      living.push_back(std::move(alive));
    }
  }
  for (const auto& [policy, answers] : unboundAnswers()) {
    living.push_back(answers);
  }
  return living;
}

void ContextAnswers::forgetFlights() {
  const std::lock_guard<std::mutex> lock(flightsMutex());
  for (const auto& answers : all()) {
    answers->flights_.clear();
    answers->asksEnded_.store(answers->asksBegun_.load());
  }
}

bool ContextAnswers::shareFlight(
    const std::string& identifier, const std::function<void()>& ask,
    const std::function<void(const std::function<void()>&)>& withoutGil,
    std::chrono::seconds patience) {
  std::shared_ptr<Flight> flight;
  bool isPilot = false;
  {
    const std::lock_guard<std::mutex> lock(flightsMutex());
    std::shared_ptr<Flight>& known = flights_[identifier];
    isPilot = known == nullptr;
    if (isPilot) {
      known = std::make_shared<Flight>();
    }
    flight = known;
  }
  if (isPilot) {
    // Lands whatever happens: an exception, or the forced unwinding of a thread that wants the GIL
    // while Python is being finalised.
    struct Landing {
      ContextAnswers& answers;
      const std::string& identifier;
      Flight& flight;
      ~Landing() {
        const std::lock_guard<std::mutex> lock(flightsMutex());
        flight.done = true;
        answers.flights_.erase(identifier);
        flight.landed.notify_all();
      }
    } landing{*this, identifier, *flight};
    ask();
    return true;
  }
  bool landed = false;
  withoutGil([&] {
    std::unique_lock<std::mutex> lock(flightsMutex());
    landed = flight->landed.wait_for(lock, patience, [&] { return flight->done; });
  });
  return landed;
}

}  // namespace bifrost
