// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "context_answers.h"
#include "pins.h"
#include "python_bridge.h"

namespace bifrost {

namespace {

struct alignas(64) Stripe {  // a cache line of its own
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
};

constexpr std::size_t kStripes = 64;
std::array<Stripe, kStripes> stripes;

Stripe& ownStripe() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t index = next.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return stripes[index];
}

std::string statsText() {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  for (const Stripe& stripe : stripes) {
    hits += stripe.hits.load(std::memory_order_relaxed);
    misses += stripe.misses.load(std::memory_order_relaxed);
  }
  std::size_t entries = 0;
  std::size_t bytes = 0;
  std::size_t contexts = 0;
  for (const auto& answers : ContextAnswers::all()) {
    contexts += answers->isUnbound() ? 0 : 1;
    entries += answers->table().size();
    bytes += answers->table().bytes();
    if (const Pins* pins = answers->pins()) {  // shared by contexts, and told of each
      entries += pins->size();
      bytes += pins->bytes();
    }
  }
  return "{\"hits\":" + std::to_string(hits) + ",\"misses\":" + std::to_string(misses) +
         ",\"crossings\":" + std::to_string(PythonBridge::crossings()) +
         ",\"contexts\":" + std::to_string(contexts) + ",\"entries\":" + std::to_string(entries) +
         ",\"bytes\":" + std::to_string(bytes) + "}";
}

// Texts with their lengths before them: an identifier may hold whatever byte somebody asked with.
void append(std::string& bytes, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes += text;
}

// Of every table that has some what *listed* returns of it, each as the texts that *textsOf*
// returns.
template <class Listed, class TextsOf>
std::string tablesBytes(Listed listed, TextsOf textsOf) {
  std::string bytes;
  for (const auto& answers : ContextAnswers::all()) {
    const auto items = listed(answers->table());
    if (items.empty()) {
      continue;
    }
    append(bytes, answers->policy());
    append(bytes, answers->root());
    append(bytes, answers->isUnbound() ? "unbound" : "bound");
    append(bytes, std::to_string(items.size()));
    for (const auto& item : items) {
      for (const std::string_view text : textsOf(item)) {
        append(bytes, text);
      }
    }
  }
  return bytes;
}

std::string heldBytes() {
  return tablesBytes([](const ResolutionTable& table) { return table.held(); },
                     [](const Resolution* answer) {
                       return std::array<std::string_view, 2>{answer->identifier, answer->path};
                     });
}

std::string movedBytes() {
  return tablesBytes([](const ResolutionTable& table) { return table.lastMoves(); },
                     [](const Move& move) {
                       return std::array<std::string_view, 5>{
                           move.identifier, move.path, move.version, move.newPath, move.newVersion};
                     });
}

int handOver(std::string_view bytes, char* buffer, int size) {
  const int needed = static_cast<int>(bytes.size());
  if (buffer != nullptr && needed <= size) {
    std::memcpy(buffer, bytes.data(), bytes.size());
  }
  return needed;
}

}  // namespace

void countHit() { ownStripe().hits.fetch_add(1, std::memory_order_relaxed); }

void countMiss() { ownStripe().misses.fetch_add(1, std::memory_order_relaxed); }

}  // namespace bifrost

int bifrost_resolver_stats(char* buffer, int size) {
  const std::string text = bifrost::statsText();
  return bifrost::handOver({text.c_str(), text.size() + 1}, buffer, size);
}

int bifrost_resolver_held(char* buffer, int size) {
  return bifrost::handOver(bifrost::heldBytes(), buffer, size);
}

int bifrost_resolver_moved(char* buffer, int size) {
  return bifrost::handOver(bifrost::movedBytes(), buffer, size);
}
