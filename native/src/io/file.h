// Files by plain system calls: reads at an offset (a mapping would crash the process when another
// program truncates the file) and durable writes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace hindsight {

class InputFile {
 public:
  /// @throws Failure FILE_MISSING
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }
  /// @throws Failure FILE_TRUNCATED when fewer bytes are there.
  void read(uint64_t offset, void* out, size_t bytes) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

bool fileExists(const std::string& path);
bool directoryExists(const std::string& path);
std::string readText(const std::string& path, size_t limit);
/// Its size and time of change, as text.
std::string fileStamp(const std::string& path);

struct Bytes {
  const void* data;
  size_t count;
};
/// Writes the pieces one after the other and fsyncs. @throws Failure WRITE_FAILED
void writeDurably(const std::string& path, const std::vector<Bytes>& pieces);
/// @throws Failure WRITE_FAILED
void replaceFile(const std::string& from, const std::string& to);
void syncDirectory(const std::string& path);

}  // namespace hindsight
