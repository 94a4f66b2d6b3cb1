// SPDX-License-Identifier: Apache-2.0
//
// What is known under one context value, shared by every copy of the context. It dies with the last
// of them: re-opening a stage asks anew, and memory returns.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "resolution_table.h"

namespace bifrost {

class Pins;

class ContextAnswers : public std::enable_shared_from_this<ContextAnswers> {
 public:
  // The answers of the context (policy, root): those of a living equal context, or new ones, behind
  // *pins* if the policy names any.
  static std::shared_ptr<ContextAnswers> of(const std::string& policy, const std::string& root,
                                            std::shared_ptr<const Pins> pins = nullptr);

  // The answers for resolves with no context bound (Sdf tools, the root of Usd.Stage.Open(ref))
  // under the environment's *policy*. No context lets go of them, so they are bounded: past that
  // they are spent, whoever uses them asks here for those that follow, behind the same pins, and
  // they die with their last owner.
  static std::shared_ptr<ContextAnswers> unbound(const std::string& policy,
                                                 std::shared_ptr<const Pins> pins = nullptr);
  bool isUnbound() const { return table_.freshness() == Freshness::kExpires; }
  bool isSpent() const {
    return isReplaced_.load(std::memory_order_relaxed) ||
           (isUnbound() && table_.bytes() > kMostUnboundBytes);
  }

  static constexpr std::size_t kMostUnboundBytes = 64UL << 20U;  // some 150,000 answers
  static constexpr std::size_t kMostUnboundPolicies = 8;

  // Every living context's answers, and those of no context that are not spent.
  static std::vector<std::shared_ptr<ContextAnswers>> all();

  const std::string& policy() const { return policy_; }
  const std::string& root() const { return root_; }
  const Pins* pins() const { return pins_.get(); }  // what answers before the table; or null
  ResolutionTable& table() { return table_; }
  const ResolutionTable& table() const { return table_; }

  // True for the first caller only: reading ahead is done once for each root that is opened.
  bool claimPreparation() { return !prepared_.exchange(true); }

  // Made before the bridge is asked for what these answers will hold, and gone when they hold it.
  class Asking {
   public:
    explicit Asking(ContextAnswers& answers) : answers_(answers) {
      answers_.asksBegun_.fetch_add(1);
    }
    ~Asking() { answers_.asksEnded_.fetch_add(1); }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;

   private:
    ContextAnswers& answers_;
  };

  // Whether nobody has been asking since this was made: what was answered before is in the table.
  class Quiet {
   public:
    explicit Quiet(const ContextAnswers& answers)
        : answers_(answers),
          begun_(answers.asksBegun_.load()),
          wasQuiet_(answers.asksEnded_.load() >= begun_) {}
    bool was() const { return wasQuiet_ && answers_.asksBegun_.load() == begun_; }

   private:
    const ContextAnswers& answers_;
    const std::uint64_t begun_;
    const bool wasQuiet_;
  };

  // Makes concurrent misses for one identifier share one flight. The first caller runs *ask*; the
  // others wait for it at most *patience* and return false when it took longer. No lock is held
  // while *ask* runs. The waiting is done inside *withoutGil*, which must release the GIL if it is
  // held, or not wait at all: that is as if it had taken longer.
  bool shareFlight(const std::string& identifier, const std::function<void()>& ask,
                   const std::function<void(const std::function<void()>&)>& withoutGil,
                   std::chrono::seconds patience);

  // Fork handlers: the registry's and the flights' mutexes, and what a child must forget.
  static std::mutex& registryMutex();
  static std::mutex& flightsMutex();
  static void forgetFlights();

  ContextAnswers(std::string policy, std::string root, Freshness freshness,
                 std::shared_ptr<const Pins> pins);
  ~ContextAnswers();

 private:
  struct Flight;

  const std::string policy_;
  const std::string root_;
  const std::shared_ptr<const Pins> pins_;
  ResolutionTable table_;
  std::atomic<bool> prepared_{false};
  std::atomic<bool> isReplaced_{false};
  std::atomic<std::uint64_t> asksBegun_{0};
  std::atomic<std::uint64_t> asksEnded_{0};
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace bifrost
