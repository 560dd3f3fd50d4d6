// The loader: cuts this rank's pieces into chunks of a few MB, which several threads read and convert. Where weights are host
// memory the threads write them straight into place; else they fill staging buffers that the calling thread copies to the device.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "weights/convert.h"
#include "weights/coverage.h"
#include "weights/safetensors.h"
#include "weights/verify.h"
#include "weights/weights.h"

namespace lockstep {
namespace {

constexpr int64_t kChunkBytes = int64_t{8} << 20;
constexpr unsigned kMaxReaders = 4;
constexpr size_t kSpareBuffers = 2;  // being copied to the device while every reader fills one
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

// A rectangle of a tensor, seen as a matrix, and where it goes.
struct Chunk {
  size_t tensor;     // in the source
  size_t parameter;  // in the partition
  Range rows;
  Range cols;
  int64_t full_cols;  // of the tensor
  int64_t to_row;
  int64_t to_col;

  int64_t elements() const { return rows.size() * cols.size(); }
};

// Cuts a piece into chunks of at most `most` elements: whole rows where a row is not longer than that.
void cut(const Piece& piece, size_t tensor, int64_t most, std::vector<Chunk>& chunks) {
  const Range rows = piece.matrix_rows();
  const Range cols = piece.matrix_cols();
  if (piece.elements() == 0) return;
  const int64_t width = std::min(cols.size(), most);
  const int64_t height = std::max<int64_t>(1, most / width);
  for (int64_t r = rows.begin; r < rows.end; r += height) {
    for (int64_t c = cols.begin; c < cols.end; c += width) {
      chunks.push_back({.tensor = tensor,
                        .parameter = piece.parameter,
                        .rows = {r, std::min(r + height, rows.end)},
                        .cols = {c, std::min(c + width, cols.end)},
                        .full_cols = piece.full_cols(),
                        .to_row = piece.to_row + r - rows.begin,
                        .to_col = piece.to_col + c - cols.begin});
    }
  }
}

DType dtype_of(const TensorSource& source, size_t tensor) { return *source.tensors()[tensor].dtype; }

int64_t bytes_of(const TensorSource& source, const Chunk& c) {
  return c.elements() * static_cast<int64_t>(size_of(dtype_of(source, c.tensor)));
}

// All chunks of the partition in the order of the files, none larger than kChunkBytes in the source's dtype or in `dtype`.
std::vector<Chunk> plan_chunks(const Partition& partition, const TensorSource& source, DType dtype) {
  const std::vector<size_t> tensors = match_tensors(partition, source);
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto largest = static_cast<int64_t>(std::max(size_of(dtype_of(source, tensors[i])), size_of(dtype)));
    cut(partition.pieces[i], tensors[i], kChunkBytes / largest, chunks);
  }
  std::stable_sort(chunks.begin(), chunks.end(), [](const Chunk& a, const Chunk& b) { return a.tensor < b.tensor; });
  return chunks;
}

size_t count_readers(const std::vector<Chunk>& chunks) {
  return std::min<size_t>({kMaxReaders, std::max(1u, std::thread::hardware_concurrency()), chunks.size()});
}

// Reads a chunk as it is in the source. raw: [rows, cols] of the chunk in the tensor's dtype; rows may be strided.
void read_raw(const TensorSource& source, const Chunk& c, TensorView raw) {
  const int64_t first = c.rows.begin * c.full_cols + c.cols.begin;
  if (raw.contiguous() && (raw.cols == c.full_cols || raw.rows == 1)) {
    source.read(c.tensor, first, raw.count(), raw.data);
  } else {
    for (int64_t r = 0; r < raw.rows; ++r) source.read(c.tensor, first + r * c.full_cols, raw.cols, raw.slice_rows(r, 1).data);
  }
}

// Memory from which the device can copy, that frees itself.
class HostBuffer {
 public:
  HostBuffer(Backend& backend, size_t bytes) : backend_(&backend), data_(backend.allocate_host(bytes)) {}
  HostBuffer(HostBuffer&& other) noexcept : backend_(other.backend_), data_(std::exchange(other.data_, nullptr)) {}
  HostBuffer& operator=(HostBuffer&&) = delete;
  HostBuffer(const HostBuffer&) = delete;
  ~HostBuffer() {
    if (data_) backend_->release_host(data_);
  }
  void* data() const { return data_; }

 private:
  Backend* backend_;
  void* data_;
};

class Loader {
 public:
  Loader(Weights& weights, const Partition& partition, const TensorSource& source, Backend& backend)
      : source_(source), backend_(backend), dtype_(weights.dtype()), in_place_(backend.kind() == DeviceKind::kCpu) {
    check_coverage(partition);
    for (const Parameter& p : partition.parameters) {
      const TensorView view = weights.get(p.name);
      check(view.rows == p.rows && view.cols == p.cols, "parameter '{}' is [{}, {}] in memory but [{}, {}] in the partition",
            p.name, view.rows, view.cols, p.rows, p.cols);
      parameters_.push_back({p.name, view, view.count()});
    }
    chunks_ = plan_chunks(partition, source, dtype_);
    for (const Chunk& c : chunks_) total_bytes_ += source_bytes(c);
  }

  // Returns the bytes that were read.
  int64_t run(const LoadProgress& progress) {
    const size_t readers = count_readers(chunks_);
    if (!in_place_) {
      for (size_t i = 0; i < readers + kSpareBuffers; ++i) free_.push_back(staging_.emplace_back(backend_, kChunkBytes).data());
    }
    active_ = readers;
    std::vector<std::jthread> threads;
    try {
      for (size_t i = 0; i < readers; ++i) threads.emplace_back([this] { read_chunks(); });
      finish(progress);
    } catch (...) {
      stop();
      threads.clear();
      wait_for_copies();
      throw;
    }
    threads.clear();  // joins
    if (error_) std::rethrow_exception(error_);
    for (const Destination& d : parameters_) {
      check(d.missing == 0, "parameter '{}': {} elements were not written exactly once", d.name, d.missing);
    }
    return read_bytes_;
  }

 private:
  struct Destination {
    std::string name;
    TensorView view;
    int64_t missing;  // elements not yet written
  };

  struct Staged {
    size_t chunk;
    void* data;
  };

  DType source_dtype(size_t tensor) const { return dtype_of(source_, tensor); }
  int64_t source_bytes(const Chunk& c) const { return bytes_of(source_, c); }
  TensorView destination(const Chunk& c) const {
    return parameters_[c.parameter].view.slice_rows(c.to_row, c.rows.size()).slice_cols(c.to_col, c.cols.size());
  }

  // ---- reader threads ----

  void read_chunks() {
    std::unique_ptr<char[]> scratch;  // the source's numbers before conversion
    for (size_t i = next_++; i < chunks_.size() && !stopped_; i = next_++) {
      try {
        void* staging = in_place_ ? nullptr : wait_for_buffer();
        if (!in_place_ && !staging) break;
        const Chunk& c = chunks_[i];
        if (!scratch && source_dtype(c.tensor) != dtype_) scratch = std::make_unique_for_overwrite<char[]>(kChunkBytes);
        read_chunk(c, in_place_ ? destination(c) : TensorView(staging, dtype_, c.rows.size(), c.cols.size()), scratch.get());
        const std::lock_guard lock(mutex_);
        read_bytes_ += source_bytes(c);
        if (in_place_) {
          written(c);
        } else {
          ready_.push_back({i, staging});
          changed_.notify_all();
        }
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        stopped_ = true;
        changed_.notify_all();
      }
    }
    const std::lock_guard lock(mutex_);
    --active_;
    changed_.notify_all();
  }

  void read_chunk(const Chunk& c, TensorView to, char* scratch) const {
    const DType from_dtype = source_dtype(c.tensor);
    const TensorView raw = from_dtype == dtype_ ? to : TensorView(scratch, from_dtype, to.rows, to.cols);
    read_raw(source_, c, raw);
    if (from_dtype == dtype_) return;
    bool finite = true;
    if (to.contiguous()) {
      finite = convert(raw.data, from_dtype, to.data, dtype_, to.count());
    } else {
      for (int64_t r = 0; r < to.rows; ++r) {
        finite = convert(raw.slice_rows(r, 1).data, from_dtype, to.slice_rows(r, 1).data, dtype_, to.cols) && finite;
      }
    }
    check(finite, "tensor '{}' in {} holds a number that is too large for {}; use another --dtype",
          source_.tensors()[c.tensor].name, source_.where(), name_of(dtype_));
  }

  void* wait_for_buffer() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || !free_.empty(); });
    if (stopped_) return nullptr;
    void* data = free_.back();
    free_.pop_back();
    return data;
  }

  // ---- the calling thread ----

  // Until every reader has ended: reports progress and, where there is staging, copies what is ready to the device.
  void finish(const LoadProgress& progress) {
    for (bool running = true; running;) {
      std::vector<Staged> ready;
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, kProgressInterval, [&] { return active_ == 0 || !ready_.empty(); });
        ready.swap(ready_);
        running = active_ > 0;
      }
      copy(ready);
      int64_t done = 0;
      {
        const std::lock_guard lock(mutex_);
        done = done_bytes_;
        if (error_) return;
      }
      if (progress) progress(done, total_bytes_);
    }
  }

  void copy(const std::vector<Staged>& ready) {
    if (ready.empty()) return;
    for (const Staged& s : ready) {
      const TensorView to = destination(chunks_[s.chunk]);
      const TensorView from(s.data, dtype_, to.rows, to.cols);
      if (to.contiguous()) {
        backend_.copy_to_device(to.data, from.data, to.bytes());
      } else {
        for (int64_t r = 0; r < to.rows; ++r) {
          const TensorView row = to.slice_rows(r, 1);
          backend_.copy_to_device(row.data, from.slice_rows(r, 1).data, row.bytes());
        }
      }
    }
    backend_.synchronize();
    const std::lock_guard lock(mutex_);
    for (const Staged& s : ready) {
      written(chunks_[s.chunk]);
      free_.push_back(s.data);
    }
    changed_.notify_all();
  }

  // Staging buffers must outlive the copies from them; what went wrong before is the error to report.
  void wait_for_copies() noexcept {
    try {
      if (!in_place_) backend_.synchronize();
    } catch (...) {
    }
  }

  void written(const Chunk& c) {  // with the lock held
    done_bytes_ += source_bytes(c);
    parameters_[c.parameter].missing -= c.elements();
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  const TensorSource& source_;
  Backend& backend_;
  DType dtype_;
  bool in_place_;  // weights are host memory
  std::vector<Destination> parameters_;
  std::vector<Chunk> chunks_;
  int64_t total_bytes_ = 0;
  std::vector<HostBuffer> staging_;

  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;  // guards what follows and Destination::missing
  std::condition_variable changed_;
  size_t active_ = 0;  // readers
  int64_t read_bytes_ = 0;
  int64_t done_bytes_ = 0;
  std::vector<void*> free_;
  std::vector<Staged> ready_;
  std::exception_ptr error_;
};

}  // namespace

LoadReport load_tensors(Weights& weights, const Partition& partition, const TensorSource& source, Backend& backend,
                        const LoadProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  LoadReport report;
  report.header_bytes = source.header_bytes();
  report.checkpoint_bytes = total_bytes(source);
  report.bytes_read = Loader(weights, partition, source, backend).run(progress);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

LoadReport read_tensors(const Partition& partition, const TensorSource& source, DType dtype) {
  const std::vector<Chunk> chunks = plan_chunks(partition, source, dtype);
  const size_t readers = count_readers(chunks);
  std::vector<std::unique_ptr<char[]>> buffers;
  for (size_t i = 0; i < readers; ++i) buffers.push_back(std::make_unique<char[]>(kChunkBytes));  // zeros: every page is there
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  LoadReport report;
  report.header_bytes = source.header_bytes();
  report.checkpoint_bytes = total_bytes(source);
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (const auto& buffer : buffers) {
      threads.emplace_back([&, data = buffer.get()] {
        int64_t done = 0;
        try {
          for (size_t i = next++; i < chunks.size(); i = next++) {
            const Chunk& c = chunks[i];
            read_raw(source, c, TensorView(data, dtype_of(source, c.tensor), c.rows.size(), c.cols.size()));
            done += bytes_of(source, c);
          }
        } catch (...) {
          const std::lock_guard lock(mutex);
          error = std::current_exception();
          next = chunks.size();
        }
        const std::lock_guard lock(mutex);
        report.bytes_read += done;
      });
    }
  }
  if (error) std::rethrow_exception(error);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

uint64_t checkpoint_hash(const std::filesystem::path& directory) {
  const std::unique_ptr<TensorSource> source = open_safetensors(directory);
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&](const std::string& text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ '\n') * 0x100000001b3;
  };
  for (const SourceTensor& t : source->tensors()) {
    add(fmt::format("{} {} {} {} {}", t.name, t.dtype_name, shape_text(t.shape), t.bytes, t.file));
  }
  for (const std::string& note : source->notes()) add(note);
  return hash;
}

LoadReport load_checkpoint(Weights& weights, const Partition& partition, const std::filesystem::path& directory, Backend& backend,
                           const LoadProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<TensorSource> source = open_safetensors(directory);
  check_tied_head(partition, *source);
  LoadReport report = load_tensors(weights, partition, *source, backend, progress);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace lockstep
