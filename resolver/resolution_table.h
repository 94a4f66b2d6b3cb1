// SPDX-License-Identifier: Apache-2.0
//
// What is known under one resolver context: identifier -> resolution. No Python, no USD.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bifrost {

// Who answered. The values are part of the wire format (wire.h, python/bifrost/usd/wire.py).
enum class Tier : std::uint8_t {
  kNone = 0,
  kManager = 1,
  kMemory = 2,
  kLmdb = 3,
  kRedis = 4,
  kStale = 5,
  kPins = 6,
  kFallback = 7
};

const char* tierName(Tier tier);

// Whether it answered for want of the manager: what it says may be another once that can be asked.
constexpr bool isStandIn(Tier tier) { return tier == Tier::kStale || tier == Tier::kFallback; }

// One answer. A failure has an empty path, its code in `failureCode` and its text in `message`.
struct Resolution {
  std::string identifier;  // without file format arguments
  std::string path;        // an absolute file path, byte-stable for this answer
  std::string name;
  std::string version;
  std::string manager;
  std::string failureCode;
  std::string message;
  double modified = 0.0;      // seconds since the epoch; 0 when unknown
  double freshUntil = 0.0;    // on `monotonicNow()`'s clock; infinity for ever
  float microseconds = 0.0F;  // what this answer cost, its share of the batch
  Tier tier = Tier::kNone;
  bool immutable = false;
  bool templated = false;

  bool resolved() const { return !path.empty(); }
};

// Seconds on a clock that never jumps. Coarse (milliseconds): it is read on the hot path.
double monotonicNow();

// Where an answer went in a refresh; empty paths for what did not resolve before, or does not now.
struct Move {
  std::string identifier;
  std::string path;
  std::string version;
  std::string newPath;
  std::string newVersion;
};

// When an answer stops being final. A bound context keeps what it resolved until it is refreshed;
// with no context bound nothing would ever refresh it, so floating answers expire.
enum class Freshness { kUntilRefreshed, kExpires };

// A hash table with lock-free readers and one writer at a time.
//
// Readers take no lock and write to no shared memory, so that many threads resolving at once scale.
// Hence entries are never freed before the table: a replaced one is retired, and lives as long as
// its table does, which is as long as its context. `find` may miss an entry that is being inserted
// right now; callers look again under their flight before they ask anybody.
class ResolutionTable {
 public:
  explicit ResolutionTable(Freshness freshness);
  ~ResolutionTable();
  ResolutionTable(const ResolutionTable&) = delete;
  ResolutionTable& operator=(const ResolutionTable&) = delete;

  // The live answer, or null. Valid until the table is destroyed.
  const Resolution* find(std::string_view identifier) const;

  // Adds answers. What already resolved stays as it is: an answer never changes under USD's feet.
  // That the manager said the same as a stand-in is noted.
  void add(std::vector<Resolution>&& answers);

  // Replaces answers (a refresh). Returns those that now resolve to another path, those among them
  // that `learn` and `add` moved since the last time: no stage has been told of these.
  std::vector<Move> replace(std::vector<Resolution>&& answers);

  // Replaces answers between refreshes: what a publish made.
  void learn(std::vector<Resolution>&& answers);

  // What the last `replace` returned.
  std::vector<Move> lastMoves() const;

  // Makes every floating answer of a table that lets answers expire a miss, for whoever asks next.
  void expireFloating();

  // The answers that may change: everything but immutable resolutions, and but what was made a miss
  // by `expireFloating` and not asked for again. Valid until the table is destroyed.
  std::vector<const Resolution*> held() const;

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  Freshness freshness() const { return freshness_; }

  // Held by every writer of every table; fork handlers hold it too. Nothing else is ever locked,
  // and the GIL never awaited, by a thread that holds it.
  static std::mutex& writerMutex();

 private:
  struct Entry;
  struct Slots;

  bool isLive(const Entry& entry) const;
  static const Entry* probe(const Slots& slots, std::size_t hash, std::string_view identifier);
  void put(Resolution&& answer, bool replaceResolved);
  static const Entry* retired(const Entry* newest, const Resolution& answer);
  void noteMove(const Resolution& before, const Resolution& now);
  void grow();

  const Freshness freshness_;
  std::atomic<Slots*> slots_;
  std::atomic<std::size_t> size_{0};
  std::atomic<std::size_t> bytes_{0};
  std::vector<std::unique_ptr<Slots>> allSlots_;
  std::vector<std::unique_ptr<Entry>> allEntries_;
  std::vector<Move> lastMoves_;
  std::map<std::string, Move> untold_;  // by identifier
};

}  // namespace bifrost
