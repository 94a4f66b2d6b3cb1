// SPDX-License-Identifier: Apache-2.0
//
// The table, the flights and the wire format, alone. Prints "ok" or what failed; exits 1 on a
// failure.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "context_answers.h"
#include "resolution_table.h"
#include "wire.h"

namespace {

using bifrost::ContextAnswers;
using bifrost::Freshness;
using bifrost::Move;
using bifrost::Resolution;
using bifrost::ResolutionTable;

int failures = 0;

void expect(bool condition, const char* what) {
  if (!condition) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what);
  }
}

Resolution answer(const std::string& identifier, const std::string& path,
                  double freshFor_s = 3600.0) {
  Resolution resolution;
  resolution.identifier = identifier;
  resolution.path = path;
  resolution.freshUntil = bifrost::monotonicNow() + freshFor_s;
  return resolution;
}

std::vector<Resolution> one(Resolution resolution) {
  std::vector<Resolution> answers;
  answers.push_back(std::move(resolution));
  return answers;
}

void anAnswerStaysUntilItIsReplaced() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  table.add(one(answer("a", "/1", -1.0)));
  table.add(one(answer("a", "/2")));
  expect(table.find("a")->path == "/1",
         "a resolved answer outlives its freshness and later answers");
  const std::vector<Move> moved = table.replace(one(answer("a", "/2")));
  expect(moved.size() == 1 && moved[0].path == "/1" && moved[0].newPath == "/2",
         "a move is reported");
  expect(table.replace(one(answer("a", "/2"))).empty(), "no move, no report");
  expect(table.find("a")->path == "/2", "a replaced answer is the new one");
}

void movesBetweenRefreshesAreToldByTheNext() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  table.add(one(answer("failed", "", -1.0)));
  table.add(one(answer("a", "/1")));
  table.learn(one(answer("a", "/2")));
  table.learn(one(answer("a", "/3")));
  table.add(one(answer("failed", "/1")));
  const std::vector<Move> moved = table.replace({});
  expect(moved.size() == 2 && moved[0].path == "/1" && moved[0].newPath == "/3" &&
             moved[1].path.empty() && moved[1].newPath == "/1",
         "what was learned, and what failed and came, from where stages were last told");
  expect(table.replace({}).empty(), "once");
  table.learn(one(answer("a", "/4")));
  table.learn(one(answer("a", "/3")));
  expect(table.replace({}).size() == 1,
         "what went there and back: a stage may be opened meanwhile");
}

void aFailureExpires() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  table.add(one(answer("a", "", -1.0)));
  expect(table.find("a") == nullptr, "an expired failure is a miss");
  table.add(one(answer("a", "/1")));
  expect(table.find("a") != nullptr && table.find("a")->path == "/1",
         "a failure can turn into an answer");
}

void withoutContextAnswersExpire() {
  ResolutionTable table(Freshness::kExpires);
  table.add(one(answer("a", "/1", -1.0)));
  expect(table.find("a") == nullptr, "a floating answer expires where nothing would refresh it");
  const std::size_t bytes = table.bytes();
  for (int i = 0; i < 1000; ++i) {
    table.add(one(answer("a", "/1", -1.0)));
  }
  expect(table.bytes() == bytes, "asking again for the same answer costs no memory");
}

void aFailureThatCountsItselfCostsNoMemory() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  const auto failed = [](int times) {
    Resolution failure = answer("a", "", -1.0);
    failure.failureCode = "unavailable";
    failure.message = "failed " + std::to_string(times) + " times";
    return one(std::move(failure));
  };
  table.add(failed(0));
  const std::size_t bytes = table.bytes();
  for (int i = 1; i < 1000; ++i) {
    table.add(failed(i));
  }
  expect(table.bytes() == bytes, "a failure that says something else each time is one failure");
}

Resolution from(bifrost::Tier tier, const std::string& name = {}) {
  Resolution known = answer("a", "/1");
  known.tier = tier;
  known.name = name;
  return known;
}

void aStandInIsConfirmed() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  table.add(one(from(bifrost::Tier::kStale, "old")));
  expect(table.replace(one(from(bifrost::Tier::kManager, "new"))).empty(), "nothing moved");
  expect(table.find("a")->tier == bifrost::Tier::kManager && table.find("a")->name == "new",
         "what the manager says after an outage is what there is to tell");
  table.add(one(from(bifrost::Tier::kStale, "old")));
  expect(table.find("a")->name == "new", "a stand-in that comes later changes nothing");
  table.learn(one(from(bifrost::Tier::kStale, "old")));
  table.add(one(from(bifrost::Tier::kManager, "new")));
  expect(table.find("a")->tier == bifrost::Tier::kManager, "nor has it to wait for a refresh");
}

void whatComesAndGoesCostsNoMemory() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  const auto outage = [&](int times) {
    table.replace(one(from(bifrost::Tier::kStale, "old")));
    table.replace(one(from(times % 2 == 0 ? bifrost::Tier::kManager : bifrost::Tier::kMemory)));
    Resolution moved = from(bifrost::Tier::kManager);
    moved.path = "/2";
    moved.modified = times;
    table.replace(one(std::move(moved)));
  };
  outage(0);
  const std::size_t bytes = table.bytes();
  for (int i = 1; i < 1000; ++i) {
    outage(i);
  }
  expect(table.bytes() == bytes, "answers that take turns are as many as there are of them");
  expect(table.find("a")->path == "/2" && table.size() == 1, "and the last one counts");
}

std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::vector<std::string> identifiersOf(const std::vector<const Resolution*>& answers) {
  std::vector<std::string> identifiers;
  for (const Resolution* answer : answers) {
    identifiers.push_back(answer->identifier);
  }
  std::sort(identifiers.begin(), identifiers.end());
  return identifiers;
}

void whatIsHeldIsWhatMayChange() {
  ResolutionTable table(Freshness::kUntilRefreshed);
  Resolution pinned = answer("pinned", "/1");
  pinned.immutable = true;
  table.add(one(std::move(pinned)));
  table.add(one(answer("floating", "/2", -1.0)));
  table.add(one(answer("failed", "", -1.0)));
  const std::vector<const Resolution*> before = table.held();
  expect(identifiersOf(before) == std::vector<std::string>{"failed", "floating"},
         "an expired answer is held, a pinned one can't change");
  table.replace(one(answer("floating", "/3")));
  expect(std::any_of(before.begin(), before.end(),
                     [](const Resolution* held) { return held->path == "/2"; }),
         "what was held stays readable while it is replaced");
}

void whatARefreshLetGoIsHeldNoMore() {
  ResolutionTable table(Freshness::kExpires);
  table.add(one(answer("a", "/1", -1.0)));
  expect(table.held().size() == 1, "without a context, too, the last answer is held");
  table.expireFloating();
  expect(table.held().empty(), "until a refresh lets it go");
  table.add(one(answer("a", "/1")));
  expect(table.held().size() == 1, "and again once it is asked for");
}

void readersAndWritersAtOnce() {
  constexpr int kNames = 20'000;
  ResolutionTable table(Freshness::kUntilRefreshed);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      while (!done.load()) {
        const std::string name = "ref" + std::to_string(random() % kNames);
        const Resolution* found = table.find(name);
        if (found != nullptr && found->path.compare(0, name.size() + 1, "/" + name) != 0) {
          wrong.fetch_add(1);
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!done.load()) {
      for (const Resolution* held : table.held()) {
        if (held->path.compare(0, held->identifier.size() + 1, "/" + held->identifier) != 0) {
          wrong.fetch_add(1);
        }
      }
    }
  });
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kNames; ++i) {
        const std::string name = "ref" + std::to_string(i);
        if (t == 0) {
          table.add(one(answer(name, "/" + name)));
        } else {
          table.replace(one(answer(name, "/" + name + ".v2")));
        }
      }
      if (t == 0) {
        done.store(true);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  expect(wrong.load() == 0, "a reader sees whole answers to its own question");
  expect(table.size() == kNames, "every answer arrived");
}

void oneFlightForManyMisses() {
  auto answers = ContextAnswers::of("", "flights");
  std::atomic<int> asked{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      answers->shareFlight(
          "a",
          [&] {
            if (answers->table().find("a") == nullptr) {
              asked.fetch_add(1);
              std::this_thread::sleep_for(std::chrono::milliseconds(20));
              answers->table().add(one(answer("a", "/1")));
            }
          },
          [](const std::function<void()>& wait) { wait(); }, std::chrono::seconds(10));
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  expect(asked.load() == 1, "concurrent misses ask once");
}

void answersDieWithTheirContext() {
  auto first = ContextAnswers::of("policy", "root");
  expect(first == ContextAnswers::of("policy", "root"),
         "equal living contexts share their answers");
  expect(first != ContextAnswers::of("policy", "other"), "another root, other answers");
  first->table().add(one(answer("a", "/1")));
  first.reset();
  expect(ContextAnswers::of("policy", "root")->table().find("a") == nullptr,
         "a new context asks anew");
}

// A few of these fill the answers of no context.
Resolution largeAnswer(const std::string& identifier) {
  Resolution large = answer(identifier, "/" + identifier);
  large.message.assign(ContextAnswers::kMostUnboundBytes / 4, 'x');
  return large;
}

void whatIsKnownWithoutAContextIsBounded() {
  auto first = ContextAnswers::unbound("bounded");
  first->table().add(one(answer("a", "/a")));
  const Resolution* const seen = first->table().find("a");
  for (const char* identifier : {"1", "2", "3"}) {
    first->table().add(one(largeAnswer(identifier)));
  }
  expect(first == ContextAnswers::unbound("bounded") && !first->isSpent(),
         "within the bound there is one table");
  first->table().add(one(largeAnswer("4")));
  auto second = ContextAnswers::unbound("bounded");
  expect(first->isSpent() && second != first, "past the bound another one follows");
  expect(second == ContextAnswers::unbound("bounded"), "and that is the one for all");
  expect(second->table().find("a") == nullptr, "which asks anew");
  expect(seen->path == "/a", "whoever owns the spent one may read it");
  const std::weak_ptr<ContextAnswers> spent = first;
  first.reset();
  expect(spent.expired(), "which goes with its last owner");
}

void policiesWithoutAContextAreBounded() {
  const auto first = ContextAnswers::unbound("policy 0");
  for (std::size_t i = 1; i <= ContextAnswers::kMostUnboundPolicies; ++i) {
    ContextAnswers::unbound("policy " + std::to_string(i));
  }
  expect(first->isSpent(), "whoever has one that was dropped is to ask for the one that follows");
  expect(first != ContextAnswers::unbound("policy 0"), "which is another");
}

void threadsReadWhatOthersSpend() {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &wrong] {
      auto answers = ContextAnswers::unbound("spent");
      for (int i = 0; i < 20; ++i) {
        if (answers->isSpent()) {
          answers = ContextAnswers::unbound("spent");
        }
        const std::string identifier = std::to_string(t) + "." + std::to_string(i);
        answers->table().add(one(largeAnswer(identifier)));
        const Resolution* found = answers->table().find(identifier);
        if (found == nullptr || found->path != "/" + identifier) {
          wrong.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  expect(wrong.load() == 0, "an answer is there for whoever owns its table");
}

void manyContextsComeAndGo() {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      std::mt19937 random(t);
      for (int i = 0; i < 5'000; ++i) {
        const std::string root = std::to_string(random() % 8);
        const auto answers = ContextAnswers::of("churn", root);
        answers->table().add(one(answer("a", "/" + root)));
        if (answers->table().find("a")->path != "/" + root) {
          std::abort();
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

std::string wireBytes() {
  std::string bytes = "BFW2";
  const auto append = [&](const auto& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto text = [&](const std::string& value) {
    append(static_cast<std::uint32_t>(value.size()));
    bytes += value;
  };
  append(std::uint8_t{0});
  append(std::uint8_t{1});
  append(0.0F);
  append(std::uint32_t{1});
  append(std::uint8_t{3});
  append(std::uint8_t{1});
  append(12.5);
  append(std::numeric_limits<double>::infinity());
  append(7.0F);
  for (const char* value : {"bifrost:///assets/a", "/a.usd", "A", "3", "m"}) {
    text(value);
  }
  return bytes;
}

void theWireIsReadInBoundsOrNotAtAll() {
  const std::string bytes = wireBytes();
  const auto answers = bifrost::decodeAnswers(bytes);
  expect(answers && answers->isComplete && answers->resolutions.size() == 1 &&
             answers->resolutions[0].path == "/a.usd",
         "a whole reply is read");
  expect(answers && answers->resolutions[0].immutable &&
             std::isinf(answers->resolutions[0].freshUntil),
         "flags and times");
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    expect(!bifrost::decodeAnswers(std::string_view(bytes).substr(0, cut)),
           "a cut reply is refused");
  }
  expect(!bifrost::decodeAnswers(bytes + "x"), "trailing bytes are refused");
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    std::string broken = bytes;
    for (int flips = 0; flips < 3; ++flips) {
      broken[random() % broken.size()] = static_cast<char>(random());
    }
    bifrost::decodeAnswers(broken);  // for the sanitizers: whatever it answers, in bounds
  }
}

}  // namespace

int main() {
  anAnswerStaysUntilItIsReplaced();
  movesBetweenRefreshesAreToldByTheNext();
  aFailureExpires();
  withoutContextAnswersExpire();
  aFailureThatCountsItselfCostsNoMemory();
  aStandInIsConfirmed();
  whatComesAndGoesCostsNoMemory();
  whatIsHeldIsWhatMayChange();
  whatARefreshLetGoIsHeldNoMore();
  readersAndWritersAtOnce();
  oneFlightForManyMisses();
  answersDieWithTheirContext();
  whatIsKnownWithoutAContextIsBounded();
  policiesWithoutAContextAreBounded();
  threadsReadWhatOthersSpend();
  manyContextsComeAndGo();
  theWireIsReadInBoundsOrNotAtAll();
  if (failures == 0) {
    std::puts("ok");
  }
  return failures == 0 ? 0 : 1;
}
