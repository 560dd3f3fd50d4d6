// Paged causal attention: cuts the step into tasks, and the context of a task into chunks.
//
// A task is a run of query tokens of one sequence with all their query heads that read one KV head, so that keys and values are
// read once for all of them. Chunks begin at multiples of kAttentionChunk whatever the batch, and their partial results are
// merged in order (the online softmax of Milakov and Gimelshein, 2018); so it changes no bit whether a task's chunks are done
// one after another by one thread or side by side by several.
#include <algorithm>

#include "base/error.h"
#include "kernels/cpu/cpu_ops.h"

namespace lockstep::cpu {

struct CpuOps::AttentionTask {
  const TensorView* qkv = nullptr;
  const TensorView* out = nullptr;
  const PagedKv* kv = nullptr;
  const int32_t* blocks = nullptr;  // of the sequence
  float scale = 1.0f;
  int64_t kv_head = 0;
  int64_t head_begin = 0, num_heads = 0;    // local query heads
  int64_t token_begin = 0, num_tokens = 0;  // query tokens
  int64_t first_position = 0;               // of token_begin
  int64_t partials_before = 0;              // rows() * chunks() of the tasks before this one, summed

  int64_t rows() const { return num_heads * num_tokens; }
  int64_t context() const { return first_position + num_tokens; }  // what the last token sees
  int64_t chunks() const { return (context() + kAttentionChunk - 1) / kAttentionChunk; }
  int64_t positions_of(int64_t chunk) const { return std::min(kAttentionChunk, context() - chunk * kAttentionChunk); }
  int64_t token_of(int64_t row) const { return token_begin + row / num_heads; }
  int64_t head_of(int64_t row) const { return head_begin + row % num_heads; }
  // Positions of the chunk that begins at `position` that the row sees.
  int64_t limit_of(int64_t row, int64_t position) const {
    return std::clamp<int64_t>(first_position + row / num_heads + 1 - position, 0, kAttentionChunk);
  }
};

// The partial results of one task and chunk: maxima [rows], sums [rows] and weighted values [rows, head_dim] of `floats`.
struct CpuOps::Partial {
  float* max;
  float* sum;
  float* out;
  Partial(float* floats, int64_t rows) : max(floats), sum(floats + rows), out(floats + 2 * rows) {}
  static int64_t floats(int64_t rows, int64_t head_dim) { return rows * (head_dim + 2); }
};

CpuOps::CpuOps(const CpuKernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {
  thread_scratch_.resize(static_cast<size_t>(pool.threads()));
}

CpuOps::~CpuOps() = default;

// Places of the keys, or values, of the positions [position, position + n) of the task's sequence: at[0..n).
void CpuOps::rows_of_cache(const AttentionTask& task, const void* cache, int64_t position, int64_t n, const void** at) const {
  const PagedKv& kv = *task.kv;
  const int64_t row_bytes = kv.head_dim * static_cast<int64_t>(size_of(kv.dtype));
  for (int64_t done = 0; done < n;) {
    const int64_t block = (position + done) / kv.block_size, offset = (position + done) % kv.block_size;
    const int64_t run = std::min(kv.block_size - offset, n - done);
    const int64_t place = (task.blocks[block] * kv.kv_heads + task.kv_head) * kv.block_size + offset;
    const char* row = static_cast<const char*>(cache) + place * row_bytes;
    for (int64_t j = 0; j < run; ++j) at[done + j] = row + j * row_bytes;
    done += run;
  }
}

// Partial results of `task` against one chunk of context. next: what the same thread will do then, if anything.
void CpuOps::attend_chunk(const AttentionTask& task, int64_t chunk, const ChunkOfTask& next, Scratch& scratch,
                          const Partial& partial) const {
  const PagedKv& kv = *task.kv;
  const int64_t position = chunk * kAttentionChunk;
  const float* q[kAttentionRows];
  int64_t limit[kAttentionRows];
  for (int64_t r = 0; r < task.rows(); ++r) {
    q[r] = task.qkv->slice_rows(task.token_of(r), 1).as<const float>() + task.head_of(r) * kv.head_dim;
    limit[r] = task.limit_of(r, position);
  }
  const int64_t positions = limit[task.rows() - 1];
  const int64_t next_positions = next.task == nullptr ? 0 : next.task->positions_of(next.chunk);
  const void* k[kAttentionChunk];
  const void* v[kAttentionChunk];
  const void* next_k[kAttentionChunk];
  rows_of_cache(task, kv.k, position, positions, k);
  rows_of_cache(task, kv.v, position, positions, v);
  if (next_positions > 0) rows_of_cache(*next.task, kv.k, next.chunk * kAttentionChunk, next_positions, next_k);
  const int64_t padded = (kv.head_dim + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
  float* work = scratch.get_as<float>(kAttentionChunk * (kAttentionRows + padded) + kMaxScoreGroup * padded);
  kernels_.attention_chunk({.rows = task.rows(),
                            .q = q,
                            .limit = limit,
                            .positions = positions,
                            .k = k,
                            .v = v,
                            .kv_dtype = kv.dtype,
                            .head_dim = kv.head_dim,
                            .row_bytes = kv.head_dim * static_cast<int64_t>(size_of(kv.dtype)),
                            .scale = task.scale,
                            .next_positions = next_positions,
                            .next_k = next_k,
                            .scores = work,
                            .converted = work + kAttentionChunk * kAttentionRows,
                            .turned = work + kAttentionChunk * (kAttentionRows + padded),
                            .max = partial.max,
                            .sum = partial.sum,
                            .out = partial.out});
}

// Adds the partial results of a later chunk to those of all before it. Rows that do not reach the chunk keep their bits.
void CpuOps::merge_chunk(const AttentionTask& task, int64_t chunk, const Partial& running, const Partial& next) const {
  const int64_t d = task.kv->head_dim;
  for (int64_t r = 0; r < task.rows(); ++r) {
    if (task.limit_of(r, chunk * kAttentionChunk) == 0) continue;
    kernels_.attention_merge(running.max + r, running.sum + r, running.out + r * d, next.max[r], next.sum[r], next.out + r * d,
                             d);
  }
}

void CpuOps::finish_task(const AttentionTask& task, const Partial& total) const {
  const int64_t d = task.kv->head_dim;
  for (int64_t r = 0; r < task.rows(); ++r) {
    float* out = task.out->slice_rows(task.token_of(r), 1).as<float>() + task.head_of(r) * d;
    kernels_.divide(out, total.out + r * d, total.sum[r], d);
  }
}

// Fills tasks_ and chunks_.
void CpuOps::plan_attention(const TensorView& out, const TensorView& qkv, const HeadLayout& heads, float scale,
                            const BatchView& batch, const PagedKv& kv) {
  int64_t partials = 0;
  tasks_.clear();
  chunks_.clear();
  for (int64_t s = 0; s < batch.num_seqs; ++s) {
    const int64_t begin = batch.query_start[s], end = batch.query_start[s + 1], context = batch.context_len[s];
    const bool padding = context == 0 && end - begin == 1;
    check(begin >= 0 && end <= batch.num_tokens && begin <= end && (end - begin <= context || padding),
          "attention: sequence {} has query tokens {} to {} of {} and a context of {}", s, begin, end, batch.num_tokens, context);
    if (padding) {
      std::fill_n(out.slice_rows(begin, 1).as<float>(), out.cols, 0.0f);
      continue;
    }
    const int32_t* blocks = batch.block_tables + batch.seq_slot[s] * batch.block_table_stride;
    const int64_t num_blocks = (context + kv.block_size - 1) / kv.block_size;
    check(num_blocks <= batch.block_table_stride, "attention: sequence {} needs {} blocks, its table has {}", s, num_blocks,
          batch.block_table_stride);
    for (int64_t b = 0; b < num_blocks; ++b) {
      check(blocks[b] >= 0 && blocks[b] < kv.num_blocks, "attention: block {} of sequence {} is {}, the cache has {}", b, s,
            blocks[b], kv.num_blocks);
    }
    for (int64_t h = 0; h < heads.kv_heads; ++h) {
      const int64_t head_begin = std::max<int64_t>(0, h * heads.group - heads.offset);
      const int64_t head_end = std::min<int64_t>(heads.q_heads, (h + 1) * heads.group - heads.offset);
      if (head_begin >= head_end) continue;
      const int64_t tokens = kAttentionRows / (head_end - head_begin);
      for (int64_t t = begin; t < end; t += tokens) {
        tasks_.push_back({.qkv = &qkv,
                          .out = &out,
                          .kv = &kv,
                          .blocks = blocks,
                          .scale = scale,
                          .kv_head = h,
                          .head_begin = head_begin,
                          .num_heads = head_end - head_begin,
                          .token_begin = t,
                          .num_tokens = std::min(tokens, end - t),
                          .first_position = context - (end - t),
                          .partials_before = partials});
        partials += tasks_.back().rows() * tasks_.back().chunks();
      }
    }
  }
  for (const AttentionTask& task : tasks_) {
    for (int64_t c = 0; c < task.chunks(); ++c) chunks_.push_back({&task, c});
  }
}

void CpuOps::attention(TensorView out, TensorView qkv, const HeadLayout& heads, float scale, const BatchView& batch,
                       const PagedKv& kv) {
  const int64_t d = heads.head_dim;
  check(d > 0 && d % 2 == 0 && d <= kMaxHeadDim, "attention: head_dim is {}, expected an even number up to {}", d, kMaxHeadDim);
  check_float32("attention", "out", out);
  check_float32("attention", "qkv", qkv);
  check_shape("attention", "qkv", qkv, batch.num_tokens, (heads.q_heads + 2 * int64_t{heads.kv_heads}) * d);
  check_shape("attention", "out", out, batch.num_tokens, heads.q_heads * d);
  if (out.empty()) return;
  check(kv.dtype != DType::kInt32, "attention: a cache of {}", name_of(kv.dtype));
  check(kv.kv_heads == heads.kv_heads && kv.head_dim == d && kv.block_size > 0,
        "attention: the cache has {} heads of {} in blocks of {}, the layer {} heads of {}", kv.kv_heads, kv.head_dim,
        kv.block_size, heads.kv_heads, d);
  check(heads.group >= 1 && heads.offset >= 0 && heads.offset < heads.group &&
            (heads.q_heads - 1 + heads.offset) / heads.group < heads.kv_heads,
        "attention: {} query heads from offset {} in groups of {} do not fit {} KV heads", heads.q_heads, heads.offset,
        heads.group, heads.kv_heads);
  check(heads.group <= kAttentionRows, "attention: {} query heads share a KV head, at most {} are supported", heads.group,
        kAttentionRows);

  plan_attention(out, qkv, heads, scale, batch, kv);
  const auto num_tasks = static_cast<int64_t>(tasks_.size()), num_chunks = static_cast<int64_t>(chunks_.size());
  if (num_tasks == 0) return;
  // Little work is not worth a second thread.
  const int64_t positions = std::min<int64_t>(kAttentionChunk, std::max(batch.max_context_len, 1));
  const int64_t elements = num_chunks * 2 * d * positions;
  const int max_threads = static_cast<int>(std::clamp<int64_t>(elements / (kElementGrain / 2), 1, pool_.threads()));

  if (num_tasks >= 4 * int64_t{max_threads} || max_threads == 1 || num_chunks == num_tasks) {
    const int64_t floats = Partial::floats(kAttentionRows, d);
    float* memory = shared_scratch_.get_as<float>(2 * floats * max_threads);
    pool_.parallel_items(num_tasks, max_threads, [&](int thread, int64_t i) {
      const AttentionTask& task = tasks_[static_cast<size_t>(num_tasks - 1 - i)];  // the last tokens of a prompt see most
      Scratch& scratch = thread_scratch_[static_cast<size_t>(thread)];
      const Partial running(memory + 2 * floats * thread, task.rows());
      const Partial next(memory + (2 * thread + 1) * floats, task.rows());
      for (int64_t c = 0; c < task.chunks(); ++c) {
        const ChunkOfTask following = c + 1 < task.chunks() ? ChunkOfTask{&task, c + 1} : ChunkOfTask{};
        attend_chunk(task, c, following, scratch, c == 0 ? running : next);
        if (c > 0) merge_chunk(task, c, running, next);
      }
      finish_task(task, running);
    });
    return;
  }
  // Few tasks with long contexts, as in decode: chunks side by side, then the merges.
  const AttentionTask& last = tasks_.back();
  float* memory = shared_scratch_.get_as<float>(Partial::floats(last.partials_before + last.rows() * last.chunks(), d));
  const auto partial_of = [&](const AttentionTask& task, int64_t chunk) {
    return Partial(memory + Partial::floats(task.partials_before + task.rows() * chunk, d), task.rows());
  };
  // Runs of chunks, so that a thread knows its next one and can ask for its keys.
  pool_.run(max_threads, [&](int thread) {
    const int64_t begin = num_chunks * thread / max_threads, end = num_chunks * (thread + 1) / max_threads;
    for (int64_t i = begin; i < end; ++i) {
      const auto [task, c] = chunks_[static_cast<size_t>(i)];
      const ChunkOfTask next = i + 1 < end ? chunks_[static_cast<size_t>(i + 1)] : ChunkOfTask{};
      attend_chunk(*task, c, next, thread_scratch_[static_cast<size_t>(thread)], partial_of(*task, c));
    }
  });
  pool_.parallel_items(num_tasks, max_threads, [&](int, int64_t i) {
    const AttentionTask& task = tasks_[static_cast<size_t>(i)];
    for (int64_t c = 1; c < task.chunks(); ++c) merge_chunk(task, c, partial_of(task, 0), partial_of(task, c));
    finish_task(task, partial_of(task, 0));
  });
}

}  // namespace lockstep::cpu
