/* A stand-in for libnvidia-ml.so.1. FAKE_NVML=none lacks every reading, lies gives the library's words for no value, zeros
 * gives 0 for all, busy and mig are what they say. */
#include "fake.h"

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };
typedef struct { int index; } Device;
static Device devices[MAX_GPUS];
static int is_started;

static int is(const char *mode) { const char *given = getenv("FAKE_NVML"); return given && !strcmp(given, mode); }

#define BEGIN do { int code_ = rule_for(__func__); if (code_) return code_; if (!is_started) return UNINITIALIZED; } while (0)
#define READING(value) do { BEGIN; if (is("none")) return NOT_SUPPORTED; *out = is("lies") ? 0xffffffffu : is("zeros") ? 0u : (value); return OK; } while (0)

OUT int nvmlInit_v2(void) { int code = rule_for(__func__); if (code) return code; is_started = 1; for (int i = 0; i < MAX_GPUS; i++) devices[i].index = i; return OK; }
OUT const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "Unknown Error"; }
OUT int nvmlSystemGetDriverVersion(char *text, unsigned size) { BEGIN; snprintf(text, size, "570.195.03"); return OK; }
OUT int nvmlDeviceGetHandleByPciBusId_v2(const char *id, Device **device) {
  BEGIN;
  unsigned bus;
  if (sscanf(id, "%*x:%x:", &bus) != 1 || bus < 1 || (int)bus > gpu_count()) return NOT_FOUND;
  *device = &devices[bus - 1];
  return OK;
}
OUT int nvmlDeviceGetUUID(Device *d, char *text, unsigned size) { BEGIN; if (is("none")) return NOT_SUPPORTED; if (is("lies")) { memset(text, '\x1b', size); return OK; } snprintf(text, size, "GPU-abababab-abab-abab-abab-ababababab%02x", d->index); return OK; }
OUT int nvmlDeviceGetSerial(Device *d, char *text, unsigned size) { BEGIN; if (is("none") || is("lies")) return NOT_SUPPORTED; snprintf(text, size, "132000000000%d", d->index); return OK; }
OUT int nvmlDeviceGetPowerUsage(Device *d, unsigned *out) { READING(391234u + d->index); }
OUT int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *out) { (void)d; READING(350000u); }
OUT int nvmlDeviceGetPowerManagementDefaultLimit(Device *d, unsigned *out) { (void)d; READING(400000u); }
OUT int nvmlDeviceGetTemperature(Device *d, int sensor, unsigned *out) { if (sensor) return INVALID; READING(61u + d->index); }
OUT int nvmlDeviceGetClockInfo(Device *d, int type, unsigned *out) { (void)d; READING(type == 2 ? 1593u : 1410u); }
OUT int nvmlDeviceGetMaxClockInfo(Device *d, int type, unsigned *out) { (void)d; READING(type == 2 ? 1593u : 1410u); }
OUT int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, uint64_t *out) { (void)d; BEGIN; if (is("none")) return NOT_SUPPORTED; *out = is("lies") ? ~0ull : 0x24; return OK; }
OUT int nvmlDeviceGetCurrPcieLinkGeneration(Device *d, unsigned *out) { (void)d; READING(4u); }
OUT int nvmlDeviceGetMaxPcieLinkGeneration(Device *d, unsigned *out) { (void)d; READING(4u); }
OUT int nvmlDeviceGetCurrPcieLinkWidth(Device *d, unsigned *out) { (void)d; READING(8u); }
OUT int nvmlDeviceGetMaxPcieLinkWidth(Device *d, unsigned *out) { (void)d; READING(16u); }
OUT int nvmlDeviceGetEccMode(Device *d, unsigned *out, unsigned *pending) { (void)d; *pending = 0; READING(1u); }
OUT int nvmlDeviceGetTotalEccErrors(Device *d, int type, int counter, uint64_t *out) { (void)d; BEGIN; if (is("none")) return NOT_SUPPORTED; if (type != 1 || counter != 0) return INVALID; *out = is("lies") ? ~0ull : 3; return OK; }
OUT int nvmlDeviceGetRemappedRows(Device *d, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) { (void)d; BEGIN; if (is("none") || is("lies")) return NOT_SUPPORTED; *corrected = 1; *uncorrected = 2; *pending = 1; *failed = 0; return OK; }
OUT int nvmlDeviceGetMigMode(Device *d, unsigned *out, unsigned *pending) { (void)d; *pending = 0; READING(is("mig") ? 1u : 0u); }
OUT int nvmlDeviceGetPersistenceMode(Device *d, unsigned *out) { (void)d; READING(1u); }
typedef struct { unsigned pid; uint64_t bytes; unsigned gpu, compute; } Process;
OUT int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *count, Process *list) {
  (void)d; BEGIN;
  if (is("none")) return NOT_SUPPORTED;
  unsigned found = is("busy") ? 2 : is("crowd") ? 300 : 0, room = *count;
  *count = found;
  if (found > room) return TOO_SMALL;
  for (unsigned i = 0; i < found; i++) list[i] = (Process){ 4242 + i, i ? ~0ull : 30ull << 30, 0, 0 };
  return OK;
}
OUT int nvmlDeviceGetUtilizationRates(Device *d, unsigned *out) { (void)d; BEGIN; if (is("none")) return NOT_SUPPORTED; out[0] = is("busy") ? 97 : 0; out[1] = 0; return OK; }
OUT int nvmlDeviceGetMemoryInfo(Device *d, uint64_t *out) { (void)d; BEGIN; if (is("none")) return NOT_SUPPORTED; if (is("lies")) { memset(out, 0xff, 24); return OK; } out[0] = 80ull << 30; out[1] = 79ull << 30; out[2] = 1ull << 30; return OK; }
OUT int nvmlDeviceGetNvLinkState(Device *d, unsigned link, unsigned *out) { (void)d; if (link >= 12) return INVALID; READING(link < 11 ? 1u : 0u); }
OUT int nvmlDeviceGetNvLinkVersion(Device *d, unsigned link, unsigned *out) { (void)d; (void)link; READING(3u); }
OUT int nvmlDeviceGetP2PStatus(Device *a, Device *b, int index, unsigned *out) { (void)a; (void)b; if (index != 2) return INVALID; READING(0u); }
