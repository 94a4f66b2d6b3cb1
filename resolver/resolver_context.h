// SPDX-License-Identifier: Apache-2.0
//
// The resolver context: an immutable value (policy, root). Its answers are shared by its copies.
#pragma once

#include <memory>
#include <string>

#include "context_answers.h"
#include "environment.h"
#include "usd.h"

BIFROST_USD_NAMESPACE_OPEN

// Equal, ordered and hashed by (policy, root), so that ArNotice::ResolverChanged finds the stages
// it means, and two contexts never share an answer.
//
// The policy is canonical text, `key=value` pairs sorted by key and joined by `;`, values
// percent-encoded; python/bifrost/context.py reads and writes the same. The root is the path given
// to CreateDefaultContextForAsset; it is empty for contexts made from strings.
class BifrostResolverContext {
 public:
  BifrostResolverContext() = default;

  // Reads the pins that *policy* names, so: with no lock held, and without the GIL.
  BifrostResolverContext(const std::string& policy, const std::string& root);

  const std::string& policy() const { return answers_ ? answers_->policy() : empty(); }
  const std::string& root() const { return answers_ ? answers_->root() : empty(); }
  bifrost::ContextAnswers* answers() const { return answers_.get(); }

  bool operator==(const BifrostResolverContext& other) const {
    return policy() == other.policy() && root() == other.root();
  }
  bool operator!=(const BifrostResolverContext& other) const { return !(*this == other); }
  bool operator<(const BifrostResolverContext& other) const {
    return policy() != other.policy() ? policy() < other.policy() : root() < other.root();
  }
  friend std::size_t hash_value(const BifrostResolverContext& context) {
    return std::hash<std::string>{}(context.policy()) * 31 +
           std::hash<std::string>{}(context.root());
  }

  std::string text() const;

 private:
  static const std::string& empty();

  std::shared_ptr<bifrost::ContextAnswers> answers_;
};

AR_DECLARE_RESOLVER_CONTEXT(BifrostResolverContext);

std::string ArGetDebugString(const BifrostResolverContext& context);

BIFROST_USD_NAMESPACE_CLOSE

namespace bifrost {

// The canonical form of a context string as a user, Houdini or Katana gives it. Parts that mean
// nothing are left out; *complaint* says which, or is empty.
std::string canonicalPolicy(const std::string& text, std::string* complaint);

// *text* with what BIFROST_PINS and BIFROST_PINS_MISSING say in *environment* for contexts that say
// nothing of it.
std::string withEnvironmentPins(const std::string& text, const Environment& environment);

// The pins that a canonical *policy* names, or null. As Pins::at.
std::shared_ptr<const Pins> pinsOf(const std::string& policy);

// Lets Python print contexts. Call it from where no lock is held; does nothing until Python runs,
// and nothing twice.
void makeContextsPrintable();

}  // namespace bifrost
