// SPDX-License-Identifier: Apache-2.0
//
// Pins alone: files good and bad, what is pinned and what is not, many threads at once. Prints
// "ok".
//
//   pins_test FOLDER    an empty folder to write into
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "allowed_roots.h"
#include "diagnostics.h"
#include "pins.h"

namespace {

using bifrost::NotPinned;
using bifrost::Pins;
using bifrost::Resolution;

int failures = 0;
std::string folder;

void expect(bool condition, const char* what) {
  if (!condition) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what);
  }
}

std::string write(const std::string& name, const std::string& text) {
  const std::string path = folder + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::string entry(const std::string& reference, const std::string& path, int size) {
  return R"({"reference": ")" + reference + R"(", "version": "3", "path": ")" + path +
         R"(", "size": )" + std::to_string(size) + R"(, "modified": 12.5, "immutable": true})";
}

std::string pinsText(const std::string& entries, const std::string& format = "1") {
  return R"({"bifrost_pins": )" + format + R"(, "manager": "m", "entities": [)" + entries + "]}";
}

std::string codeOf(const Resolution* answer) {
  return answer != nullptr ? answer->failureCode : "no answer";
}

void whatIsPinnedIsAnswered() {
  const std::string file = write("a.usda", "12345");
  const auto pins =
      Pins::at(write("good.json", pinsText(entry("x:a", file, 5))), NotPinned::kFail, "");
  const Resolution* answer = pins->answer("x:a");
  expect(answer != nullptr && answer->path == file && answer->version == "3", "path and version");
  expect(answer->manager == "m" && answer->immutable && answer->modified == 12.5,
         "what the header says of all, and the rest");
  expect(pins->find("x:b") == nullptr && codeOf(pins->answer("x:b")) == "not_pinned",
         "what is not pinned is refused");
  const auto open = Pins::at(folder + "/good.json", NotPinned::kResolve, "");
  expect(open->answer("x:b") == nullptr && !open->isFinal(), "or left to others");
  expect(Pins::at(folder + "/good.json", NotPinned::kFail, "") == pins, "a file is read once");
  write("good.json", pinsText(entry("x:a", file, 5) + "," + entry("x:b", file, 5)));
  expect(Pins::at(folder + "/good.json", NotPinned::kFail, "")->find("x:b") != nullptr,
         "and again when it changed");
  expect(pins->find("x:b") == nullptr, "which those who hold it don't notice");
}

void aFileThatIsGoneIsAFailure() {
  const auto pins = Pins::at(write("gone.json", pinsText(entry("x:gone", folder + "/gone", 5))),
                             NotPinned::kFail, "");
  expect(codeOf(pins->answer("x:gone")) == "pinned_file_missing", "a file that is not there");
  write("gone", "12345");
  expect(pins->answer("x:gone")->resolved(), "is found when it comes");
}

void foldersOfOtherSites() {
  write("moved", "12345");
  const auto pathUnder = [&](const std::string& path, const std::string& roots) {
    static int number = 0;
    const std::string name = "roots" + std::to_string(number++) + ".json";
    const auto pins =
        Pins::at(write(name, pinsText(entry("x:a", path, 5))), NotPinned::kFail, roots);
    return pins->find("x:a")->path;
  };
  expect(pathUnder("/site/a", "/site=/here") == "/here/a", "a folder is replaced");
  expect(pathUnder("/sites/a", "/site=/here") == "/sites/a", "another folder is not");
  expect(pathUnder("/site/a/b", "/site=/here;/site/a=/there") == "/there/b",
         "the longest folder decides");
  expect(pathUnder("/site/a", "/=/mnt") == "/mnt/site/a", "everything can move");
  expect(pathUnder("/site/a", "/site=/") == "/a", "to the root, too");
  expect(pathUnder("/site/a", "nonsense;;/site/=/here/") == "/here/a", "nonsense is passed over");
}

void whatIsOutsideTheRootsIsAFailure() {
  const std::string inside = folder + "/inside";
  expect(mkdir(inside.c_str(), 0700) == 0, "a folder");
  write("secret", "12345");
  write("inside/a", "12345");
  expect(symlink("../secret", (inside + "/link").c_str()) == 0, "a link");
  expect(symlink(inside.c_str(), (folder + "/alias").c_str()) == 0, "a link to the root");
  const auto codeUnder = [&](const std::string& path, const std::string& allowed) {
    static int number = 0;
    const std::string name = "allowed" + std::to_string(number++) + ".json";
    const auto pins =
        Pins::at(write(name, pinsText(entry("x:a", path, 5))), NotPinned::kFail, "", allowed);
    pins->answer("x:a");
    return codeOf(pins->answer("x:a"));
  };
  const std::string outside = "outside_roots";
  expect(codeUnder(folder + "/secret", inside) == outside, "a file beside it");
  expect(codeUnder(inside + "/../secret", inside) == outside, "a way out");
  expect(codeUnder(inside + "/link", inside) == outside, "a link that leads out");
  expect(codeUnder(inside + "side/a", inside) == outside, "a folder that begins alike");
  expect(codeUnder(inside + "/<UDIM>/../../x", inside) == outside, "a pattern that leads out");
  expect(codeUnder(inside + "/a", "relative;?") == outside, "roots that are none allow nothing");
  expect(codeUnder(inside + "/a", inside + "/") == "", "a file in it");
  expect(codeUnder(inside + "/a", "/none; " + folder + "/alias ;") == "", "one of several, a link");
  expect(codeUnder(folder + "/alias/a", inside) == "", "a way in");
  expect(codeUnder(folder + "/secret", "/") == "" && codeUnder(folder + "/secret", " ") == "",
         "everything");
}

void rootsAreReadFromSettings() {
  using bifrost::allowedRootsIn;
  expect(allowedRootsIn("[cache]\nttl_s = 6\n\n[resolve] # x\nallowed_roots = \"/a;/b\" # y\n") ==
             "/a;/b",
         "below its table");
  expect(allowedRootsIn("resolve.allowed_roots='/a'\r\n") == "/a", "as a dotted key");
  expect(allowedRootsIn("# allowed_roots\n[resolve]\n").empty(), "a remark sets nothing");
  for (const char* text :
       {"resolve = {allowed_roots = \"/a\"}", "[resolve]\nallowed_roots = \"\"\"/a\"\"\"",
        "[resolve]\n\"allowed_roots\" = \"/a\"", "[resolve]\nallowed_roots = \"/a\\u0041\"",
        "[other]\nallowed_roots = \"/a\"", "[resolve]\nallowed_roots = \"/a", "allowed_roots",
        "[resolve]\nallowed_roots = [\"/a\"]", "[resolve]\nallowed_roots"}) {
    expect(!bifrost::AllowedRoots(allowedRootsIn(text)).hold("/a"), text);
  }
}

void warningsAreOneHarmlessLine() {
  using bifrost::printable;
  expect(printable("a\n\x1b[2J\x7f") == "a\\x0a\\x1b[2J\\x7f", "controls are shown");
  expect(printable("\xc2\x9b"
                   "31m \xc2\xa0\xc3\xa4") ==
             "\\x9b"
             "31m \xc2\xa0\xc3\xa4",
         "those of Latin-1 too, and no letters");
}

void badFilesPinNothing() {
  const std::vector<std::string> bad = {
      "",
      "{",
      "[1]",
      "{}",
      R"({"bifrost_pins": "1"})",
      pinsText("", "2"),
      R"({"bifrost_pins": 1, "entities": {}})",
      std::string(100'000, '['),
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const std::string path = write("bad" + std::to_string(i) + ".json", bad[i]);
    const auto pins = Pins::at(path, NotPinned::kFail, "");
    expect(pins->size() == 0 && codeOf(pins->answer("x:a")) == "not_pinned", "a bad file");
  }
  expect(codeOf(Pins::at(folder + "/none", NotPinned::kFail, "")->answer("x")) == "not_pinned",
         "no file at all");
  const std::string pipe = folder + "/pipe";
  expect(mkfifo(pipe.c_str(), 0600) == 0, "a pipe");
  for (const std::string& path : {folder, pipe, std::string("/dev/zero")}) {
    expect(Pins::at(path, NotPinned::kFail, "")->size() == 0, "no pipe is waited for");
  }
  const auto some =
      Pins::at(write("some.json",
                     pinsText("1, {}, {\"reference\": 5}, " + entry("x:r", "relative", 1) + ", " +
                              entry("x:n", "/n\\u0000", -1) + ", " + entry("x:a", "/a", -1))),
               NotPinned::kFail, "");
  expect(some->size() == 1 && some->find("x:a") != nullptr, "a bad entry harms no other");
}

void everythingThatJsonCanSay() {
  const std::string entry =
      R"({"other": [{"deep": [1.5e3, -0, true, false, null]}], "path": "/first", "reference": "x:\u00e4\ud83d\ude00\n",)"
      R"( "path": "/a\\b\"c\/d", "modified": 1795705031.500728, "size": 12e2, "immutable": true,)"
      R"( "version": 7, "name": "n"})";
  // The header may stand last, as in a file that another program sorted.
  const auto pins = Pins::at(
      write("all.json", "{\"entities\":[" + entry + "],\n\"manager\":\"late\",\"bifrost_pins\":1}"),
      NotPinned::kFail, "");
  const Resolution* answer = pins->find("x:\xc3\xa4\xf0\x9f\x98\x80\n");
  expect(answer != nullptr && answer->path == "/a\\b\"c/d",
         "escapes in texts, and the last of two members");
  expect(answer->modified == 1795705031.500728 && answer->immutable, "numbers and flags");
  expect(answer->version.empty() && answer->name == "n", "a number is no version");
  expect(answer->manager == "late", "the header's manager, wherever it stands");
}

void aLongTextOfEscapesIsReadInOneGo() {
  std::string escapes;
  for (int i = 0; i < 1'000'000; ++i) {
    escapes += "\\n";
  }
  const auto pins = Pins::at(write("long.json", "{\"a\": \"" + escapes + "\"," +
                                                    pinsText(entry("x:a", "/a", 5)).substr(1)),
                             NotPinned::kFail, "");
  expect(pins->size() == 1, "a text of a million escapes");  // in less than the test's time
}

void whatIsNoJsonPinsNothing() {
  const std::string good = pinsText(entry("x:a", "/a", 5));
  const std::vector<std::string> bad = {
      good + "}",
      good + " 1",
      good.substr(0, good.size() - 1),
      "{\"a\": 01," + good.substr(1),
      "{\"a\": tru," + good.substr(1),
      "{\"a\": \"\\x\"," + good.substr(1),
      "{\"a\": \"\\ud800\"," + good.substr(1),
      "{\"a\" 1," + good.substr(1),
      "{\"a\": [1,]," + good.substr(1),
      "{\"a\": 1.," + good.substr(1),
      "{\"a\": -," + good.substr(1),
      "{a: 1," + good.substr(1),
      "{\"a\": \"\n\"," + good.substr(1),
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto pins =
        Pins::at(write("nojson" + std::to_string(i) + ".json", bad[i]), NotPinned::kFail, "");
    expect(pins->size() == 0, bad[i].c_str());
  }
}

void damagedFilesHarmNobody() {
  const std::string text = pinsText(entry("x:a", "/a", 5) + "," + entry("x:b", "/b", 6));
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string broken = text;
    for (int flips = 0; flips < 3; ++flips) {
      broken[random() % broken.size()] = static_cast<char>(random());
    }
    const auto pins = Pins::at(write("damaged.json", broken), NotPinned::kFail, "");
    pins->answer("x:a");  // for the sanitizers: whatever it answers
  }
}

void whatIsNotPinnedIsRememberedUpToABound() {
  const auto pins = Pins::at(write("few.json", pinsText("")), NotPinned::kFail, "");
  const std::string large(1UL << 20U, 'x');
  const Resolution* const first = pins->answer(large);
  expect(first->identifier == large, "each has a failure of its own");
  for (int i = 0; i < 100; ++i) {
    expect(codeOf(pins->answer(large + std::to_string(i))) == "not_pinned", "and is refused");
  }
  const Resolution* const last = pins->answer(large + "last");
  expect(last == pins->answer(large + "another"), "past the bound there is one for all");
  expect(first->identifier == large, "what was answered stays readable");
}

void manyThreadsAtOnce() {
  constexpr int kPins = 5'000;
  std::string entries;
  for (int i = 0; i < kPins; ++i) {
    entries += (i == 0 ? "" : ",") + entry("x:" + std::to_string(i), folder, -1);
  }
  const std::string path = write("many.json", pinsText(entries));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      const auto pins = Pins::at(path, NotPinned::kFail, "");
      for (int i = 0; i < 20'000; ++i) {
        const int number = static_cast<int>(random() % (kPins + 10));
        const Resolution* answer = pins->answer("x:" + std::to_string(number));
        wrong += answer == nullptr || answer->resolved() != (number < kPins) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  expect(wrong.load() == 0, "every thread gets every answer");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: pins_test FOLDER\n", stderr);
    return 2;
  }
  folder = argv[1];
  whatIsPinnedIsAnswered();
  aFileThatIsGoneIsAFailure();
  foldersOfOtherSites();
  whatIsOutsideTheRootsIsAFailure();
  rootsAreReadFromSettings();
  warningsAreOneHarmlessLine();
  badFilesPinNothing();
  everythingThatJsonCanSay();
  aLongTextOfEscapesIsReadInOneGo();
  whatIsNoJsonPinsNothing();
  damagedFilesHarmNobody();
  whatIsNotPinnedIsRememberedUpToABound();
  manyThreadsAtOnce();
  if (failures == 0) {
    std::puts("ok");
  }
  return failures == 0 ? 0 : 1;
}
