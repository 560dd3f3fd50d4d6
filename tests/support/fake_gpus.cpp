// Stands in for libnvidia-ml.so.1: a host with two GPUs, a sound one, and one that has everything that can be wrong with a GPU.
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr int kSuccess = 0, kNotSupported = 3, kNotFound = 6;
int sound = 0, ill = 1;

bool is_ill(void* device) { return device == &ill; }
int put(char* text, unsigned size, const char* value) {
  std::snprintf(text, size, "%s", value);
  return kSuccess;
}

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
struct Pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};
constexpr unsigned long long kGiB = 1ull << 30;

}  // namespace

extern "C" {

int nvmlInit_v2() { return kSuccess; }
int nvmlShutdown() { return kSuccess; }
const char* nvmlErrorString(int) { return "an error"; }
int nvmlSystemGetDriverVersion(char* text, unsigned size) { return put(text, size, "580.95.05"); }
int nvmlSystemGetCudaDriverVersion_v2(int* version) { return *version = 13000, kSuccess; }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 2, kSuccess; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) { return *device = index == 0 ? &sound : &ill, kSuccess; }
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  *device = std::strcmp(uuid, "GPU-ill") == 0 ? &ill : &sound;
  return std::strncmp(uuid, "GPU-", 4) == 0 ? kSuccess : kNotFound;
}
int nvmlDeviceGetUUID(void* d, char* text, unsigned size) { return put(text, size, is_ill(d) ? "GPU-ill" : "GPU-sound"); }
int nvmlDeviceGetName(void*, char* text, unsigned size) { return put(text, size, "NVIDIA H100 80GB HBM3"); }
int nvmlDeviceGetPciInfo_v3(void* d, Pci* pci) {
  return put(pci->bus_id, sizeof(pci->bus_id), is_ill(d) ? "00000000:0A:00.0" : "00000000:09:00.0");
}
int nvmlDeviceGetMemoryInfo(void* d, Memory* m) {
  const unsigned long long used = is_ill(d) ? 60 * kGiB : 0;
  *m = {80 * kGiB, 80 * kGiB - used, used};
  return kSuccess;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* d, unsigned* count, Process* list) {
  *count = is_ill(d) ? 1 : 0;
  if (is_ill(d)) list[0] = {4711, 59 * kGiB, 0, 0};
  return kSuccess;
}
int nvmlSystemGetProcessName(unsigned, char* text, unsigned size) { return put(text, size, "another"); }
int nvmlDeviceGetEccMode(void*, int* now, int* pending) { return *now = *pending = 1, kSuccess; }
int nvmlDeviceGetTotalEccErrors(void* d, int kind, int, unsigned long long* count) {
  return *count = is_ill(d) && kind == 1 ? 7 : 0, kSuccess;
}
int nvmlDeviceGetRemappedRows(void* d, unsigned* corrected, unsigned* uncorrected, unsigned* pending, unsigned* failed) {
  *corrected = *uncorrected = *failed = 0;
  *pending = is_ill(d) ? 1 : 0;
  return kSuccess;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* d, unsigned long long* reasons) {
  return *reasons = is_ill(d) ? 0xc4 : 0x1, kSuccess;
}
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) { return *celsius = 60, kSuccess; }
int nvmlDeviceGetPowerManagementLimit(void* d, unsigned* milliwatts) {
  return *milliwatts = is_ill(d) ? 300000 : 700000, kSuccess;
}
int nvmlDeviceGetPowerManagementDefaultLimit(void*, unsigned* milliwatts) { return *milliwatts = 700000, kSuccess; }
int nvmlDeviceGetCurrPcieLinkGeneration(void*, unsigned* generation) { return *generation = 5, kSuccess; }
int nvmlDeviceGetMaxPcieLinkGeneration(void*, unsigned* generation) { return *generation = 5, kSuccess; }
int nvmlDeviceGetCurrPcieLinkWidth(void* d, unsigned* width) { return *width = is_ill(d) ? 4 : 16, kSuccess; }
int nvmlDeviceGetMaxPcieLinkWidth(void*, unsigned* width) { return *width = 16, kSuccess; }
int nvmlDeviceGetNvLinkState(void* d, unsigned link, int* enabled) {
  if (link >= 4) return kNotSupported;
  *enabled = is_ill(d) && link == 2 ? 0 : 1;
  return kSuccess;
}
int nvmlDeviceGetNvLinkVersion(void*, unsigned, unsigned* version) { return *version = 6, kSuccess; }
int nvmlDeviceGetComputeMode(void* d, int* mode) { return *mode = is_ill(d) ? 3 : 0, kSuccess; }
int nvmlDeviceGetMigMode(void* d, unsigned* now, unsigned* pending) { return *now = *pending = is_ill(d) ? 1 : 0, kSuccess; }
}
