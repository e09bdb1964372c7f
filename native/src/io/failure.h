// The one exception of the engine: a code for programs and one sentence, with the remedy, for
// people. The binding turns it into a JavaScript error with `.code`.
#pragma once
#include <stdexcept>
#include <string>

namespace hindsight {

struct Failure : std::runtime_error {
  Failure(std::string code, const std::string& sentence)
      : std::runtime_error(sentence), code(std::move(code)) {}
  std::string code;
};

/// Thrown inside a pass that a cancelled request was running; never reaches JavaScript.
struct Cancelled {};

}  // namespace hindsight
