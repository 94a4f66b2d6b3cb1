// SPDX-License-Identifier: Apache-2.0
#include "resolver_context.h"

#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "diagnostics.h"
#include "environment.h"
#include "pins.h"
#include "python_bridge.h"

#if BIFROST_USD_HAS_PYTHON
#include BIFROST_USD_BOOST_PYTHON
#endif

BIFROST_USD_NAMESPACE_OPEN

BifrostResolverContext::BifrostResolverContext(const std::string& policy, const std::string& root)
    : answers_(bifrost::ContextAnswers::of(policy, root, bifrost::pinsOf(policy))) {}

const std::string& BifrostResolverContext::empty() {
  static const auto* text = new std::string;
  return *text;
}

std::string BifrostResolverContext::text() const {
  std::string text = "bifrost(";
  text += policy();
  if (!root().empty()) {
    text += (policy().empty() ? "root=" : ";root=") + root();
  }
  return text + ")";
}

std::string ArGetDebugString(const BifrostResolverContext& context) { return context.text(); }

BIFROST_USD_NAMESPACE_CLOSE

namespace bifrost {

BIFROST_USD_USING

namespace {

// The same keys as `_POLICY_KEYS` and `_HANDLE` in python/bifrost/context.py; a test compares them.
constexpr std::array<std::string_view, 8> kPolicyKeys = {
    "as_of", "context", "locale", "pins", "pins_missing", "project", "user", "version"};

constexpr std::size_t kMostShown = 80;

bool isPolicyKey(std::string_view key) {
  for (const std::string_view known : kPolicyKeys) {
    if (key == known) {
      return true;
    }
  }
  return false;
}

// What a warning shows of a part that is ignored: somebody may have put a token into it.
std::string shown(const std::string& pair, const std::string& key) {
  const bool isSecret = key.find("token") != std::string::npos;
  return isSecret ? key.substr(0, kMostShown) + "=..." : pair.substr(0, kMostShown);
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return {};
  }
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

int hexDigit(char ch) {
  if (ch >= '0' && ch <= '9') return ch - '0';
  if (ch >= 'a' && ch <= 'f') return ch - 'a' + 10;
  if (ch >= 'A' && ch <= 'F') return ch - 'A' + 10;
  return -1;
}

std::string decoded(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hexDigit(text[i + 1]) : -1;
    const int low = high >= 0 ? hexDigit(text[i + 2]) : -1;
    if (low >= 0) {
      result += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string encoded(const std::string& text) {
  static constexpr std::string_view kSafe = ":+-._~";
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result;
  for (const char ch : text) {
    const auto byte = static_cast<unsigned char>(ch);
    if ((byte < 128 && std::isalnum(byte) != 0) || kSafe.find(ch) != std::string_view::npos) {
      result += ch;
    } else {
      result += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return result;
}

// The value of a canonical policy's *key*.
std::optional<std::string> valueOf(const std::string& policy, const std::string& key) {
  for (std::size_t begin = 0; begin < policy.size();) {
    const std::size_t end = std::min(policy.find(';', begin), policy.size());
    if (policy.compare(begin, key.size() + 1, key + '=') == 0) {
      begin += key.size() + 1;
      return decoded(policy.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace

std::string canonicalPolicy(const std::string& text, std::string* complaint) {
  std::map<std::string, std::string> pairs;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::string pair = trimmed(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    if (pair.empty()) {
      continue;
    }
    const std::size_t equals = pair.find('=');
    const std::string key = trimmed(pair.substr(0, equals));
    const std::string value =
        equals == std::string::npos ? std::string{} : trimmed(pair.substr(equals + 1));
    if (!isPolicyKey(key)) {
      *complaint += (complaint->empty() ? "ignored " : ", ") + shown(pair, key);
    } else if (!value.empty()) {
      pairs[key] = encoded(decoded(value));
    }
  }
  std::string policy;
  for (const auto& [key, value] : pairs) {
    policy += (policy.empty() ? "" : ";") + key + "=" + value;
  }
  return policy;
}

std::string withEnvironmentPins(const std::string& text, const Environment& environment) {
  std::string pairs;
  const auto add = [&](const std::string& key, std::string_view variable) {
    if (const auto value = environment.value(variable); value && !value->empty()) {
      pairs += key + '=' + encoded(*value) + ';';
    }
  };
  add("pins", "BIFROST_PINS");
  add("pins_missing", "BIFROST_PINS_MISSING");
  return pairs + text;  // of two equal keys the later one counts
}

std::shared_ptr<const Pins> pinsOf(const std::string& policy) {
  const std::optional<std::string> path = valueOf(policy, "pins");
  if (!path) {
    return nullptr;
  }
  const std::string missing = valueOf(policy, "pins_missing").value_or("fail");
  NotPinned notPinned = NotPinned::kFail;
  if (missing == "warn") {
    notPinned = NotPinned::kWarn;
  } else if (missing == "resolve") {
    notPinned = NotPinned::kResolve;
  } else if (missing != "fail") {
    warnOnce("pins_missing", missing, "expected fail, warn or resolve, got " + missing);
  }
  const auto roots = Environment::last()->value("BIFROST_PINS_ROOTS");
  return Pins::at(*path, notPinned, roots.value_or(""), allowedRootsText());
}

#if BIFROST_USD_HAS_PYTHON

namespace {

// A context shows in Python as its text: `ArResolverContext.Get()`, `repr` and `print` want an
// object.
struct ContextToText {
  static PyObject* convert(const BifrostResolverContext& context) {
    const std::string text = context.text();
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  }
};

}  // namespace

void makeContextsPrintable() {
  static std::atomic<bool> registered{false};
  if (registered.load() || registered.exchange(true)) {
    return;
  }
  const auto work = [] {
    BIFROST_BOOST_PYTHON::to_python_converter<BifrostResolverContext, ContextToText>();
  };
  if (!PythonBridge::withGil(work)) {
    registered.store(false);  // an application may start its Python later
  }
}

#else

void makeContextsPrintable() {}

#endif

}  // namespace bifrost
