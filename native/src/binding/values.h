// Reading arguments and building results through Node-API's C interface. Every read checks its
// type and throws Failure("BAD_ARGUMENT"); results are fresh copies, because Electron forbids
// external buffers.
#pragma once
#include <node_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "io/failure.h"

namespace hindsight {

void check(napi_env env, napi_status status);

/// A property, or null where it is undefined or null.
napi_value property(napi_env env, napi_value object, const char* name);
double readNumber(napi_env env, napi_value value, const char* what);
double numberOr(napi_env env, napi_value object, const char* name, double fallback);
double requireNumber(napi_env env, napi_value object, const char* name);
int requireInt(napi_env env, napi_value object, const char* name);
int intOr(napi_env env, napi_value object, const char* name, int fallback);
std::string readString(napi_env env, napi_value value, const char* what);
std::string stringOr(napi_env env, napi_value object, const char* name, const std::string& fallback);
std::vector<std::string> readStrings(napi_env env, napi_value value, const char* what);
std::vector<int32_t> readInts(napi_env env, napi_value value, const char* what);
std::vector<float> readFloats(napi_env env, napi_value value, const char* what);
std::vector<uint8_t> readBytes(napi_env env, napi_value value, const char* what);

napi_value makeNumber(napi_env env, double value);
napi_value makeString(napi_env env, const std::string& text);
napi_value makeInts(napi_env env, const std::vector<int32_t>& values);
napi_value makeFloats(napi_env env, const float* values, size_t count);
inline napi_value makeFloats(napi_env env, const std::vector<float>& values) { return makeFloats(env, values.data(), values.size()); }
napi_value makeObject(napi_env env);
void set(napi_env env, napi_value object, const char* name, napi_value value);
/// A JavaScript Error with `.code`.
napi_value makeError(napi_env env, const std::string& code, const std::string& message);

}  // namespace hindsight
