// SPDX-License-Identifier: Apache-2.0
//
// What libFuzzer does, as much of it as a compiler without libFuzzer needs: it feeds a target with
// mutations of a corpus, keeps those that reach new code, and says what the target did not survive.
//
//   TARGET [-runs=N] [-seed=N] [-max_len=N] [-max_total_time=S] [-dict=FILE]
//          [-artifact_prefix=PREFIX] [FOLDER or FILE]...
//
// The options mean what they mean to libFuzzer, and one seed makes the same inputs again. An input
// that ends the process, or takes longer than kPatience_s, is written to PREFIX`crash`. Memory that
// a target keeps for each input is a failure too, whether it leaks or is held.
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" const char __executable_start;
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // GCC ships no header of it

namespace {

constexpr unsigned kPatience_s = 10;      // for one input
constexpr std::size_t kPlaces = 1 << 16;  // of the code: edges between blocks, hashed
// What the second half of the runs may keep for ever: memories that have a bound fill up.
constexpr std::int64_t kMostKeptBytes = 4 << 20;

using Bytes = std::string;

// What the run at hand has reached, and what any has. The instrumented code fills it in.
struct Coverage {
  std::array<std::uint8_t, kPlaces> hits{};
  std::array<std::uint8_t, kPlaces> seen{};  // a bit for each order of magnitude of hits
  std::array<std::uint16_t, kPlaces> touched{};
  std::size_t touchedCount = 0;
  std::uintptr_t previous = 0;

  void hit(std::uintptr_t place) {
    const auto edge = static_cast<std::uint16_t>(place ^ previous);
    previous = place >> 1U;
    if (hits[edge] == 0) {
      touched[touchedCount++] = edge;
    }
    hits[edge] = static_cast<std::uint8_t>(std::min(hits[edge] + 1, 255));
  }

  // Whether the run was anywhere, or anywhere as often, as none before it. Forgets the run.
  bool isNews() {
    bool news = false;
    for (std::size_t i = 0; i < touchedCount; ++i) {
      const std::uint16_t edge = touched[i];
      unsigned magnitude = 0;
      for (unsigned count = hits[edge]; count > 1; count >>= 1U) {
        ++magnitude;
      }
      const auto bit = static_cast<std::uint8_t>(1U << magnitude);
      news = news || (seen[edge] & bit) == 0;
      seen[edge] |= bit;
      hits[edge] = 0;
    }
    touchedCount = 0;
    previous = 0;
    return news;
  }

  std::size_t edges() const {
    return kPlaces - static_cast<std::size_t>(std::count(seen.begin(), seen.end(), 0));
  }
};

Coverage coverage;

struct Options {
  std::uint64_t runs = 0;  // none: the corpus alone
  std::uint64_t seed = 1;
  std::size_t longest = 4096;
  double most_s = 0.0;  // 0: without end
  std::string artifacts;
  std::vector<Bytes> words;  // that the grammar knows
  std::vector<Bytes> corpus;
};

// The input that is being tried, for who writes down what ended the process.
const Bytes* current = nullptr;
std::string crashPath;

void keepInput() {
  std::FILE* file = current != nullptr ? std::fopen(crashPath.c_str(), "wb") : nullptr;
  if (file != nullptr) {
    std::fwrite(current->data(), 1, current->size(), file);
    std::fclose(file);
    std::fprintf(stderr, "the input is in %s\n", crashPath.c_str());
  }
}

void endOfPatience(int /*signal*/) {
  std::fprintf(stderr, "FAILED: one input took more than %u s\n", kPatience_s);
  keepInput();
  _exit(1);
}

Bytes contentOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The words of a libFuzzer dictionary: "in quotes", with \\, \" and \xHH.
std::vector<Bytes> wordsIn(const std::string& path) {
  std::vector<Bytes> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t begin = line.find('"');
    const std::size_t end = line.rfind('"');
    if (line.empty() || line.front() == '#' || begin == end) {
      continue;
    }
    Bytes word;
    for (std::size_t i = begin + 1; i < end; ++i) {
      if (line[i] == '\\' && line[i + 1] == 'x') {
        word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        word += line[i] == '\\' ? line[++i] : line[i];
      }
    }
    words.push_back(word);
  }
  return words;
}

void addCorpus(const std::string& path, std::vector<Bytes>* corpus) {
  if (!std::filesystem::is_directory(path)) {
    corpus->push_back(contentOf(path));
    return;
  }
  std::vector<std::filesystem::path> files(std::filesystem::directory_iterator(path), {});
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    corpus->push_back(contentOf(file));
  }
}

Options parsed(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string value = argument.substr(std::min(argument.find('=') + 1, argument.size()));
    if (argument.rfind("-runs=", 0) == 0) {
      options.runs = std::stoull(value);
    } else if (argument.rfind("-seed=", 0) == 0) {
      options.seed = std::stoull(value);
    } else if (argument.rfind("-max_len=", 0) == 0) {
      options.longest = std::stoull(value);
    } else if (argument.rfind("-max_total_time=", 0) == 0) {
      options.most_s = std::stod(value);
    } else if (argument.rfind("-dict=", 0) == 0) {
      options.words = wordsIn(value);
    } else if (argument.rfind("-artifact_prefix=", 0) == 0) {
      options.artifacts = value;
    } else {
      addCorpus(argument, &options.corpus);
    }
  }
  return options;
}

// Makes inputs out of others. The same generator makes the same ones.
class Mutator {
 public:
  Mutator(std::uint64_t seed, const Options& options) : random_(seed), options_(options) {}

  Bytes next(const std::vector<Bytes>& corpus) {
    Bytes input = corpus[below(corpus.size())];
    for (std::size_t steps = 1 + below(5); steps > 0; --steps) {
      mutate(&input, corpus);
    }
    input.resize(std::min(input.size(), options_.longest));
    return input;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void mutate(Bytes* input, const std::vector<Bytes>& corpus) {
    static constexpr std::array<std::uint64_t, 10> kTelling = {
        0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 62U, 1ULL << 63U, ~0ULL};
    const std::size_t at = below(input->size() + 1);
    const std::size_t some = below(std::min<std::size_t>(input->size() - at, 64) + 1);
    switch (below(9)) {
      case 0:
        flip(input, at);
        break;
      case 1:
        overwrite(input, at, Bytes(1, static_cast<char>(random_())));
        break;
      case 2:
        input->insert(at, 1 + below(4), static_cast<char>(random_()));
        break;
      case 3:
        input->erase(at, some);
        break;
      case 4:
        input->insert(below(input->size() + 1), input->substr(at, some));
        break;
      case 5: {
        const Bytes& other = corpus[below(corpus.size())];
        *input = input->substr(0, at) + other.substr(below(other.size() + 1));
        break;
      }
      case 6: {
        const std::uint64_t number = kTelling[below(kTelling.size())];
        const std::size_t size = std::size_t{1} << below(4);
        overwrite(input, at, Bytes(reinterpret_cast<const char*>(&number), size));
        break;
      }
      default:
        if (!options_.words.empty()) {
          const Bytes& word = options_.words[below(options_.words.size())];
          below(2) == 0 ? overwrite(input, at, word) : void(input->insert(at, word));
        }
    }
  }

  void flip(Bytes* input, std::size_t at) {
    if (at < input->size()) {
      (*input)[at] = static_cast<char>((*input)[at] ^ (1 << below(8)));
    }
  }

  static void overwrite(Bytes* input, std::size_t at, const Bytes& bytes) {
    input->replace(at, std::min(bytes.size(), input->size() - at), bytes);
  }

  std::mt19937_64 random_;
  const Options& options_;
};

// Tries one input; returns how many bytes more are in use afterwards.
std::int64_t tried(const Bytes& input) {
  const Bytes copy = input;  // of exactly its size, so that one byte past its end is found
  current = &copy;
  const std::size_t before = __sanitizer_get_current_allocated_bytes();
  alarm(kPatience_s);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(copy.data()), copy.size());
  alarm(0);
  current = nullptr;
  return static_cast<std::int64_t>(__sanitizer_get_current_allocated_bytes()) -
         static_cast<std::int64_t>(before);
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  coverage.hit(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
               reinterpret_cast<std::uintptr_t>(&__executable_start));
}

// A small quarantine: most of a run's time would go into a large one.
// The sanitizers' library looks for these in the program, where everything else is hidden.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "handle_abort=1:quarantine_size_mb=16:malloc_context_size=12";
}

extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() {
  return "print_stacktrace=1";
}

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) {
    LLVMFuzzerInitialize(&argc, &argv);
  }
  const Options options = parsed(argc, argv);
  crashPath = options.artifacts + "crash";
  __sanitizer_set_death_callback(keepInput);
  std::signal(SIGALRM, endOfPatience);

  std::vector<Bytes> corpus = options.corpus;
  corpus.emplace_back();
  for (const Bytes& input : corpus) {
    tried(input);
    coverage.isNews();
  }
  Mutator mutator(options.seed, options);
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed_s = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t runs = 0;
  std::int64_t kept = 0;  // by the second half: the first may fill what has a bound
  for (; runs < options.runs &&
         (options.most_s == 0.0 || runs % 1024 != 0 || elapsed_s() < options.most_s);
       ++runs) {
    Bytes input = mutator.next(corpus);
    const std::int64_t more = tried(input);
    kept += runs >= options.runs / 2 ? more : 0;
    if (coverage.isNews()) {
      corpus.push_back(std::move(input));
    }
  }
  std::printf("done: %llu runs, %zu inputs, %zu edges, %lld bytes kept, %.1f s\n",
              static_cast<unsigned long long>(runs), corpus.size(), coverage.edges(),
              static_cast<long long>(kept), elapsed_s());
  const bool grows = kept > kMostKeptBytes + static_cast<std::int64_t>(runs) / 2;
  if (grows) {
    std::fputs("FAILED: memory grows with each input\n", stderr);
  }
  return grows ? 1 : 0;
}
