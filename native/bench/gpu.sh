#!/usr/bin/env bash
# Builds, checks and measures the CUDA backend in one call on a machine with a GPU; needs nvcc and CMake,
# and no Node. A step that fails or runs out of time does not stop the others.
#   native/bench/gpu.sh [OUT]     OUT: folder for logs and gpu.json (default: ./gpu-report)
# The last lines are one table; the exit code is 1 where a check failed. docs/cuda.md says what each line is.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "${1:-gpu-report}" && cd "${1:-gpu-report}" && pwd)
build=${HINDSIGHT_GPU_BUILD:-$(mktemp -d)}
export PATH="/usr/local/cuda/bin:$PATH"
export HINDSIGHT_CUDA_LIBRARY="$build/hindsight_cuda.so"
steps=(); rcs=(); seconds=()
began=$(date +%s)

# step NAME SECONDS COMMAND…: its output goes to OUT/NAME.log
step() {
  local name=$1 limit=$2 from; shift 2
  from=$(date +%s)
  timeout -k 5 "$limit" "$@" > "$out/$name.log" 2>&1
  local rc=$?
  steps+=("$name"); rcs+=("$rc"); seconds+=("$(( $(date +%s) - from ))")
  printf '%-14s rc %-3s %4ss  %s\n' "$name" "$rc" "${seconds[-1]}" "$(tail -n 1 "$out/$name.log" | cut -c1-150)"
}

command -v nvcc > /dev/null || { echo "gpu.sh: nvcc was not found: install the CUDA toolkit (13.0 or newer) or put it on the PATH."; exit 1; }
command -v cmake > /dev/null || { echo "gpu.sh: CMake was not found: install it."; exit 1; }
command -v nvidia-smi > /dev/null || { echo "gpu.sh: no NVIDIA driver was found: run this on a machine with a GPU."; exit 1; }
nvidia-smi > "$out/nvidia-smi.txt" 2>&1 || { echo "gpu.sh: the NVIDIA driver does not answer: $(tail -n 1 "$out/nvidia-smi.txt")"; exit 1; }
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
arch=$capability; [ "$capability" = 90 ] && arch=90a
[ "${capability:-0}" -ge 80 ] 2> /dev/null || { echo "gpu.sh: ${device:-the GPU} has compute capability ${capability:-unknown}, and 80 is needed (Ampere or newer)."; exit 1; }
echo "device: $device, compute capability $capability"

# Only the architecture that is here: seconds instead of minutes.
step configure 60 cmake -S "$root/native/cuda" -B "$build" -DPROGRAMS=ON -DARCHITECTURES="$arch" -DOUTPUT_DIR="$build"
step build 420 cmake --build "$build" --parallel "$(nproc)"
if [ "${rcs[-1]}" != 0 ]; then
  # Nothing below could run.
  tail -n 20 "$out/configure.log" "$out/build.log"
  echo "gpu.sh: the CUDA backend was not built: $out/build.log says why."
  exit 1
fi
for library in "$(python3 -c 'import nvidia.cublas,os;print(os.path.join(list(nvidia.cublas.__path__)[0],"lib"))' 2>/dev/null)" "$(python3 -c 'import nvidia.cu13,os;print(os.path.join(list(nvidia.cu13.__path__)[0],"lib"))' 2>/dev/null)"; do
  [ -n "$library" ] && export LD_LIBRARY_PATH="$library:${LD_LIBRARY_PATH:-}"  # an oracle, if PyTorch brought one
done

step ops-mma 60 env HINDSIGHT_GEMM=mma "$build/cuda_ops" 30
step ops 60 "$build/cuda_ops" 30 100
for dtype in fp32 bf16 int8 nf4; do step "parity-$dtype" 60 "$build/cuda_engine" "$root/testdata/parity" "$dtype"; done
step gemm 90 "$build/cuda_bench" gemm
step train-0.5b 60 "$build/cuda_bench" train 0.5b
step train-1.5b 60 "$build/cuda_bench" train 1.5b
step train-7b 90 "$build/cuda_bench" train 7b
step train-7b-8gb 90 "$build/cuda_bench" train 7b nf4 8000000000
step decode 90 "$build/cuda_bench" decode 7b bf16
step decode-0.5b 60 "$build/cuda_bench" decode 0.5b bf16
step publish 60 "$build/cuda_bench" publish 7b
step typing 90 "$build/cuda_bench" typing 1.5b
if python3 -c 'import torch' 2> /dev/null; then step torch 120 python3 "$root/native/bench/torch_lora.py" 0.5b; fi
if command -v compute-sanitizer > /dev/null; then
  step memcheck 90 compute-sanitizer --error-exitcode 9 "$build/cuda_ops" 1
  step racecheck 120 compute-sanitizer --tool racecheck --error-exitcode 9 "$build/cuda_ops" 1
fi

# One JSON file and one table of everything.
{
  printf '{"device":"%s","capability":"%s","date":"%s","seconds":%s,"steps":[' "$device" "$capability" "$(date -u +%FT%TZ)" "$(( $(date +%s) - began ))"
  for i in "${!steps[@]}"; do
    [ "$i" -gt 0 ] && printf ','
    printf '\n {"step":"%s","rc":%s,"seconds":%s,"results":[' "${steps[i]}" "${rcs[i]}" "${seconds[i]}"
    grep -E '^\{.*\}$' "$out/${steps[i]}.log" | grep -vE '"pass":true' | tail -n 200 | sed '$!s/$/,/'
    printf ']}'
  done
  printf '\n]}\n'
} > "$out/gpu.json"
echo; echo "== $device: $(( $(date +%s) - began )) s =="
printf '%-14s %-6s %6s  %s\n' step result time "what it says"
failed=0
for i in "${!steps[@]}"; do
  result=ok; [ "${rcs[i]}" = 0 ] || { result=FAILED; failed=1; }; [ "${rcs[i]}" = 124 ] && result=LATE
  printf '%-14s %-6s %5ss  %s\n' "${steps[i]}" "$result" "${seconds[i]}" "$(grep -E '"say"' "$out/${steps[i]}.log" | tail -n 1 | sed -E 's/.*"say":"([^"]*)".*/\1/' | cut -c1-200)"
  grep -E '"pass":false|"problem"' "$out/${steps[i]}.log" | head -n 3 | cut -c1-220 | sed 's/^/                 /'
done
echo "logs and gpu.json: $out"
exit "$failed"
