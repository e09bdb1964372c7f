// The addon loads on every Linux that VS Code itself runs on (glibc 2.28, libstdc++ 3.4.25), whichever it
// was built on. A linker binds to a symbol's newest version, although the oldest does. Here the symbols
// that are newer than the floor are bound to their oldest version; CMakeLists.txt has the linker send
// every other use of them here (--wrap). .ci/package.mjs refuses a binary that is above the floor.
#include <cstdlib>
#if defined(__GLIBC__) && defined(__x86_64__)
#include <sys/stat.h>

#include <condition_variable>
#include <new>

// NAME of the C library, with its arguments, at the version every x86-64 Linux has.
#define HINDSIGHT_OLDEST(result, name, parameters, arguments)                 \
  result old_##name parameters;                                                \
  __asm__(".symver old_" #name "," #name "@GLIBC_2.2.5");                      \
  __attribute__((visibility("hidden"))) result __wrap_##name parameters { return old_##name arguments; }

extern "C" {
HINDSIGHT_OLDEST(double, exp, (double x), (x))
HINDSIGHT_OLDEST(double, log, (double x), (x))
HINDSIGHT_OLDEST(double, pow, (double x, double y), (x, y))
// Until 2.34 in libdl, which Node has loaded.
HINDSIGHT_OLDEST(void*, dlopen, (const char* file, int flags), (file, flags))
HINDSIGHT_OLDEST(void*, dlsym, (void* library, const char* name), (library, name))
HINDSIGHT_OLDEST(char*, dlerror, (), ())
HINDSIGHT_OLDEST(int, dladdr, (const void* address, void* info), (address, info))

// Until 2.33 a function of the headers around these.
int __xstat(int version, const char* path, struct stat* info);
int __fxstat(int version, int file, struct stat* info);
constexpr int kStatVersion = 1;  // of the kernel's layout on x86-64
__attribute__((visibility("hidden"))) int __wrap_stat(const char* path, struct stat* info) { return __xstat(kStatVersion, path, info); }
__attribute__((visibility("hidden"))) int __wrap_fstat(int file, struct stat* info) { return __fxstat(kStatVersion, file, info); }

// "Never alone": shared pointers then always count with atomic operations.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

// The versions differ in whether waiting is a cancellation point; no thread of ours is cancelled.
void old_wait(std::condition_variable*, std::unique_lock<std::mutex>*);
__asm__(".symver old_wait,_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
__attribute__((visibility("hidden"))) void __wrap__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(
    std::condition_variable* condition, std::unique_lock<std::mutex>* lock) {
  old_wait(condition, lock);
}

// std::runtime_error(std::runtime_error&&) is new; a copy shares the same counted text.
void old_copy(void* target, const void* source);
__asm__(".symver old_copy,_ZNSt13runtime_errorC2ERKS_@GLIBCXX_3.4.21");
__attribute__((visibility("hidden"))) void __wrap__ZNSt13runtime_errorC2EOS_(void* target, void* source) { old_copy(target, source); }

[[noreturn]] __attribute__((visibility("hidden"))) void __wrap__ZSt28__throw_bad_array_new_lengthv() { throw std::bad_array_new_length(); }
}
#endif
