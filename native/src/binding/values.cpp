#include "binding/values.h"

#include <cmath>
#include <cstring>

namespace hindsight {
namespace {

[[noreturn]] void bad(const std::string& what) { throw Failure("BAD_ARGUMENT", what + ": correct the call."); }

template <class T>
std::vector<T> readTyped(napi_env env, napi_value value, napi_typedarray_type wanted, const char* kind, const char* what) {
  bool typed = false;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (value) check(env, napi_is_typedarray(env, value, &typed));
  if (typed) check(env, napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr));
  if (!typed || type != wanted) bad(std::string(what) + " must be a " + kind);
  std::vector<T> out(length);
  if (length > 0) std::memcpy(out.data(), data, length * sizeof(T));
  return out;
}

template <class T>
napi_value makeTyped(napi_env env, napi_typedarray_type type, const T* values, size_t count) {
  void* data = nullptr;
  napi_value buffer = nullptr, array = nullptr;
  check(env, napi_create_arraybuffer(env, count * sizeof(T), &data, &buffer));
  if (count > 0) std::memcpy(data, values, count * sizeof(T));
  check(env, napi_create_typedarray(env, type, count, buffer, 0, &array));
  return array;
}

}  // namespace

void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw Failure("NAPI", std::string("Node-API failed (") + (info && info->error_message ? info->error_message : "unknown") + "): report this as a bug.");
}

napi_value property(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, object, &type));
  if (type != napi_object) bad("An object was expected");
  check(env, napi_get_named_property(env, object, name, &value));
  check(env, napi_typeof(env, value, &type));
  return type == napi_undefined || type == napi_null ? nullptr : value;
}

double readNumber(napi_env env, napi_value value, const char* what) {
  double number = 0;
  if (!value || napi_get_value_double(env, value, &number) != napi_ok) bad(std::string(what) + " must be a number");
  return number;
}

double numberOr(napi_env env, napi_value object, const char* name, double fallback) {
  napi_value value = property(env, object, name);
  return value ? readNumber(env, value, name) : fallback;
}

double requireNumber(napi_env env, napi_value object, const char* name) { return readNumber(env, property(env, object, name), name); }

int intOr(napi_env env, napi_value object, const char* name, int fallback) {
  const double value = numberOr(env, object, name, fallback);
  if (value != std::floor(value) || std::fabs(value) > 2147483647.0) bad(std::string(name) + " must be a whole number");
  return static_cast<int>(value);
}

int requireInt(napi_env env, napi_value object, const char* name) {
  requireNumber(env, object, name);
  return intOr(env, object, name, 0);
}

std::string readString(napi_env env, napi_value value, const char* what) {
  size_t length = 0;
  if (!value || napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) bad(std::string(what) + " must be a string");
  std::string text(length + 1, '\0');
  check(env, napi_get_value_string_utf8(env, value, &text[0], length + 1, &length));
  text.resize(length);
  return text;
}

std::string stringOr(napi_env env, napi_value object, const char* name, const std::string& fallback) {
  napi_value value = property(env, object, name);
  return value ? readString(env, value, name) : fallback;
}

std::vector<std::string> readStrings(napi_env env, napi_value value, const char* what) {
  bool isArray = false;
  uint32_t length = 0;
  if (value) check(env, napi_is_array(env, value, &isArray));
  if (!isArray) bad(std::string(what) + " must be an array of strings");
  check(env, napi_get_array_length(env, value, &length));
  std::vector<std::string> out;
  for (uint32_t i = 0; i < length; ++i) {
    napi_value item = nullptr;
    check(env, napi_get_element(env, value, i, &item));
    out.push_back(readString(env, item, what));
  }
  return out;
}

std::vector<int32_t> readInts(napi_env env, napi_value value, const char* what) { return readTyped<int32_t>(env, value, napi_int32_array, "Int32Array", what); }
std::vector<float> readFloats(napi_env env, napi_value value, const char* what) { return readTyped<float>(env, value, napi_float32_array, "Float32Array", what); }
std::vector<uint8_t> readBytes(napi_env env, napi_value value, const char* what) { return readTyped<uint8_t>(env, value, napi_uint8_array, "Uint8Array", what); }

napi_value makeNumber(napi_env env, double value) {
  napi_value out = nullptr;
  check(env, napi_create_double(env, value, &out));
  return out;
}
napi_value makeString(napi_env env, const std::string& text) {
  napi_value out = nullptr;
  check(env, napi_create_string_utf8(env, text.data(), text.size(), &out));
  return out;
}
napi_value makeInts(napi_env env, const std::vector<int32_t>& values) { return makeTyped(env, napi_int32_array, values.data(), values.size()); }
napi_value makeFloats(napi_env env, const float* values, size_t count) { return makeTyped(env, napi_float32_array, values, count); }
napi_value makeObject(napi_env env) {
  napi_value out = nullptr;
  check(env, napi_create_object(env, &out));
  return out;
}
void set(napi_env env, napi_value object, const char* name, napi_value value) { check(env, napi_set_named_property(env, object, name, value)); }

napi_value makeError(napi_env env, const std::string& code, const std::string& message) {
  napi_value codeValue = nullptr, text = nullptr, error = nullptr;
  napi_create_string_utf8(env, code.data(), code.size(), &codeValue);
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_error(env, codeValue, text, &error);
  return error;
}

}  // namespace hindsight
