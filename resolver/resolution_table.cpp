// SPDX-License-Identifier: Apache-2.0
#include "resolution_table.h"

#include <ctime>

#include <algorithm>
#include <functional>

namespace bifrost {

namespace {

// With no context bound nothing refreshes an answer, so it is looked at anew this often: by then
// the caches know what was published.
constexpr double kUnboundFreshFor_s = 10.0;
// The time to ask again of an answer that a refresh let go. No answer comes with it: none is that
// old.
constexpr double kLetGo = 0.0;
// How many of the answers that a reference had are looked through for one that comes back.
constexpr int kMostLookedBack = 8;
constexpr std::size_t kFirstCapacity = 64;  // a power of two, as every capacity

std::size_t hashOf(std::string_view identifier) {
  return std::hash<std::string_view>{}(identifier);
}

std::size_t bytesOf(const Resolution& answer) {
  return answer.identifier.capacity() + answer.path.capacity() + answer.name.capacity() +
         answer.version.capacity() + answer.manager.capacity() + answer.failureCode.capacity() +
         answer.message.capacity();
}

bool isSameVersion(const Resolution& one, const Resolution& other) {
  return one.path == other.path && one.version == other.version &&
         one.failureCode == other.failureCode;
}

// Whether two answers of one version say the same of it. Not which cache said it, what it cost, and
// what a failure says of itself, which may be another each time ("failed 7 times"). The time of
// what floats is its file's own.
bool isSameAnswer(const Resolution& one, const Resolution& other) {
  return isSameVersion(one, other) && isStandIn(one.tier) == isStandIn(other.tier) &&
         one.name == other.name && one.manager == other.manager &&
         one.immutable == other.immutable && one.templated == other.templated &&
         (!one.immutable || one.modified == other.modified);
}

}  // namespace

const char* tierName(Tier tier) {
  switch (tier) {
    case Tier::kManager:
      return "manager";
    case Tier::kMemory:
      return "memory";
    case Tier::kLmdb:
      return "lmdb";
    case Tier::kRedis:
      return "redis";
    case Tier::kStale:
      return "stale";
    case Tier::kPins:
      return "pins";
    case Tier::kFallback:
      return "fallback";
    case Tier::kNone:
      break;
  }
  return "";
}

double monotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct ResolutionTable::Entry {
  Entry(std::size_t hash, Resolution&& answer)
      : hash(hash), freshUntil(answer.freshUntil), resolution(std::move(answer)) {}

  const std::size_t hash;
  std::atomic<double> freshUntil;
  const Resolution resolution;
  // What the same reference was before. For writers.
  mutable const Entry* before = nullptr;
};

struct ResolutionTable::Slots {
  explicit Slots(std::size_t capacity)
      : mask(capacity - 1), entries(new std::atomic<const Entry*>[capacity]()) {}

  const std::size_t mask;
  std::unique_ptr<std::atomic<const Entry*>[]> entries;
};

std::mutex& ResolutionTable::writerMutex() {
  static auto* mutex =
      new std::mutex;  // leaked: threads may still resolve while statics are destroyed
  return *mutex;
}

ResolutionTable::ResolutionTable(Freshness freshness) : freshness_(freshness) {
  allSlots_.push_back(std::make_unique<Slots>(kFirstCapacity));
  slots_.store(allSlots_.back().get(), std::memory_order_release);
  bytes_ = sizeof(*this) + kFirstCapacity * sizeof(void*);
}

ResolutionTable::~ResolutionTable() = default;

bool ResolutionTable::isLive(const Entry& entry) const {
  const bool isFinal = entry.resolution.resolved() &&
                       (entry.resolution.immutable || freshness_ == Freshness::kUntilRefreshed);
  return isFinal || monotonicNow() < entry.freshUntil.load(std::memory_order_relaxed);
}

const ResolutionTable::Entry* ResolutionTable::probe(const Slots& slots, std::size_t hash,
                                                     std::string_view identifier) {
  for (std::size_t i = hash & slots.mask;; i = (i + 1) & slots.mask) {
    const Entry* entry = slots.entries[i].load(std::memory_order_acquire);
    if (entry == nullptr || (entry->hash == hash && entry->resolution.identifier == identifier)) {
      return entry;
    }
  }
}

const Resolution* ResolutionTable::find(std::string_view identifier) const {
  const Slots& slots = *slots_.load(std::memory_order_acquire);
  const Entry* entry = probe(slots, hashOf(identifier), identifier);
  return entry != nullptr && isLive(*entry) ? &entry->resolution : nullptr;
}

void ResolutionTable::add(std::vector<Resolution>&& answers) {
  const std::lock_guard<std::mutex> lock(writerMutex());
  for (Resolution& answer : answers) {
    put(std::move(answer), /*replaceResolved=*/false);
  }
}

std::vector<Move> ResolutionTable::replace(std::vector<Resolution>&& answers) {
  const std::lock_guard<std::mutex> lock(writerMutex());
  for (Resolution& answer : answers) {
    put(std::move(answer), /*replaceResolved=*/true);
  }
  lastMoves_.clear();
  for (auto& [identifier, move] : untold_) {
    lastMoves_.push_back(std::move(move));
  }
  untold_.clear();
  return lastMoves_;
}

void ResolutionTable::learn(std::vector<Resolution>&& answers) {
  const std::lock_guard<std::mutex> lock(writerMutex());
  for (Resolution& answer : answers) {
    put(std::move(answer), /*replaceResolved=*/true);
  }
}

std::vector<Move> ResolutionTable::lastMoves() const {
  const std::lock_guard<std::mutex> lock(writerMutex());
  return lastMoves_;
}

// From where it was when stages were last told, to where it is now.
void ResolutionTable::noteMove(const Resolution& before, const Resolution& now) {
  if (freshness_ == Freshness::kExpires) {
    return;  // nothing refreshes it
  }
  Move& move = untold_[now.identifier];
  if (move.identifier.empty() || move.path == now.path) {
    // Back where it was: a stage that was opened meanwhile has to be told, too.
    move.identifier = now.identifier;
    move.path = before.path;
    move.version = before.version;
  }
  move.newPath = now.path;
  move.newVersion = now.version;
}

void ResolutionTable::put(Resolution&& answer, bool replaceResolved) {
  if (freshness_ == Freshness::kExpires && !answer.immutable) {
    answer.freshUntil = std::min(answer.freshUntil, monotonicNow() + kUnboundFreshFor_s);
  }
  const std::size_t hash = hashOf(answer.identifier);
  if ((size_ + 1) * 2 > slots_.load(std::memory_order_relaxed)->mask) {
    grow();
  }
  Slots& slots = *slots_.load(std::memory_order_relaxed);
  std::size_t i = hash & slots.mask;
  const Entry* old = nullptr;
  for (;; i = (i + 1) & slots.mask) {
    old = slots.entries[i].load(std::memory_order_relaxed);
    if (old == nullptr || (old->hash == hash && old->resolution.identifier == answer.identifier)) {
      break;
    }
  }
  const bool stays =
      old != nullptr && !replaceResolved && old->resolution.resolved() && isLive(*old);
  const bool sameVersion = old != nullptr && isSameVersion(old->resolution, answer);
  const bool confirms = sameVersion && isStandIn(old->resolution.tier) && !isStandIn(answer.tier);
  if (sameVersion && (isSameAnswer(old->resolution, answer) || (stays && !confirms))) {
    // The common case of asking again: nothing new but the time.
    const_cast<Entry*>(old)->freshUntil.store(answer.freshUntil, std::memory_order_relaxed);
    return;
  }
  if (stays && !confirms) {
    return;
  }
  const Entry* entry = retired(old, answer);
  if (entry != nullptr) {
    const_cast<Entry*>(entry)->freshUntil.store(answer.freshUntil, std::memory_order_relaxed);
  } else {
    bytes_.fetch_add(sizeof(Entry) + bytesOf(answer), std::memory_order_relaxed);
    allEntries_.push_back(std::make_unique<Entry>(hash, std::move(answer)));
    entry = allEntries_.back().get();
  }
  entry->before = old;
  slots.entries[i].store(entry, std::memory_order_release);
  if (old == nullptr) {
    size_.fetch_add(1, std::memory_order_relaxed);
  } else if (old->resolution.path != entry->resolution.path) {
    noteMove(old->resolution, entry->resolution);
  }
}

// An answer from before *newest* that says what *answer* does, taken from between the others; null
// for none. What comes and goes, as an outage does, must not let a long session grow without end.
const ResolutionTable::Entry* ResolutionTable::retired(const Entry* newest,
                                                       const Resolution& answer) {
  for (int i = 0; newest != nullptr && newest->before != nullptr && i < kMostLookedBack; ++i) {
    const Entry* entry = newest->before;
    if (isSameAnswer(entry->resolution, answer)) {
      newest->before = entry->before;
      return entry;
    }
    newest = entry;
  }
  return nullptr;
}

void ResolutionTable::grow() {
  const Slots& old = *slots_.load(std::memory_order_relaxed);
  const std::size_t capacity = (old.mask + 1) * 2;
  auto larger = std::make_unique<Slots>(capacity);
  for (std::size_t i = 0; i <= old.mask; ++i) {
    const Entry* entry = old.entries[i].load(std::memory_order_relaxed);
    if (entry == nullptr) {
      continue;
    }
    std::size_t j = entry->hash & larger->mask;
    while (larger->entries[j].load(std::memory_order_relaxed) != nullptr) {
      j = (j + 1) & larger->mask;
    }
    larger->entries[j].store(entry, std::memory_order_relaxed);
  }
  slots_.store(larger.get(), std::memory_order_release);
  allSlots_.push_back(std::move(larger));  // the old one may still be read
  bytes_.fetch_add(capacity * sizeof(void*), std::memory_order_relaxed);
}

void ResolutionTable::expireFloating() {
  const std::lock_guard<std::mutex> lock(writerMutex());
  const Slots& slots = *slots_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i <= slots.mask; ++i) {
    const Entry* entry = slots.entries[i].load(std::memory_order_relaxed);
    if (entry != nullptr && !entry->resolution.immutable) {
      const_cast<Entry*>(entry)->freshUntil.store(kLetGo, std::memory_order_relaxed);
    }
  }
}

std::vector<const Resolution*> ResolutionTable::held() const {
  std::vector<const Resolution*> answers;
  const std::lock_guard<std::mutex> lock(writerMutex());
  const Slots& slots = *slots_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i <= slots.mask; ++i) {
    const Entry* entry = slots.entries[i].load(std::memory_order_relaxed);
    if (entry == nullptr || (entry->resolution.resolved() && entry->resolution.immutable) ||
        entry->freshUntil.load(std::memory_order_relaxed) == kLetGo) {
      continue;
    }
    answers.push_back(&entry->resolution);
  }
  return answers;
}

}  // namespace bifrost
