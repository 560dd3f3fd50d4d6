// Stands in for libnvidia-ml.so.1: a driver with one GPU, "GPU-known", and more processes on it than callers first have room for.
#include <cstdio>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNotFound = 6, kInsufficientSize = 7;
constexpr unsigned kProcesses = 100;
int opened = 0;

struct Memory {
  unsigned long long total, free, used;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used_gpu_memory;
  unsigned gpu_instance, compute_instance;
};

}  // namespace

extern "C" {

int nvmlInit_v2() {
  ++opened;
  return kSuccess;
}
int nvmlShutdown() {
  --opened;
  return kSuccess;
}
const char* nvmlErrorString(int) { return "an error"; }
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  return std::snprintf(text, size, "%s", "550.54.15") > 0 ? kSuccess : 1;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  if (std::strcmp(uuid, "GPU-known") != 0) return kNotFound;
  *device = &opened;
  return kSuccess;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  if (device != &opened || opened != 1) return 1;
  *memory = {80ULL << 30, 30ULL << 30, 50ULL << 30};
  return kSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, ProcessInfo* infos) {
  const unsigned room = *count;
  *count = kProcesses;
  if (room < kProcesses) return kInsufficientSize;
  for (unsigned i = 0; i < kProcesses; ++i) infos[i] = {1000 + i, i == 0 ? ~0ULL : i, 0, 0};
  return kSuccess;
}
int nvmlSystemGetProcessName(unsigned pid, char* name, unsigned size) {
  if (pid == 1001) return 4;  // no permission
  std::snprintf(name, size, "program %u", pid);
  return kSuccess;
}
}
