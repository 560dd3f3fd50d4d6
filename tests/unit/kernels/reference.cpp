#include "unit/kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lockstep::test {

Doubles to_doubles(const HostTensor& t) { return {t.values.begin(), t.values.end()}; }

Doubles linear_reference(const HostTensor& x, const HostTensor& w, const HostTensor& bias) {
  Doubles out;
  for (int64_t m = 0; m < x.rows; ++m) {
    for (int64_t n = 0; n < w.rows; ++n) {
      double sum = bias.values.empty() ? 0.0 : bias.at(0, n);
      for (int64_t k = 0; k < x.cols; ++k) sum += static_cast<double>(x.at(m, k)) * w.at(n, k);
      out.push_back(sum);
    }
  }
  return out;
}

Doubles rms_norm_reference(const Doubles& x, int64_t cols, const HostTensor& weight, double eps) {
  Doubles out(x.size());
  for (size_t begin = 0; begin < x.size(); begin += static_cast<size_t>(cols)) {
    double squares = 0.0;
    for (int64_t c = 0; c < cols; ++c) squares += x[begin + c] * x[begin + c];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (int64_t c = 0; c < cols; ++c) out[begin + c] = x[begin + c] * scale * weight.at(0, c);
  }
  return out;
}

Doubles silu_mul_reference(const HostTensor& gate_up) {
  Doubles out;
  const int64_t f = gate_up.cols / 2;
  for (int64_t t = 0; t < gate_up.rows; ++t) {
    for (int64_t i = 0; i < f; ++i) {
      const double gate = gate_up.at(t, i);
      out.push_back(gate / (1.0 + std::exp(-gate)) * gate_up.at(t, f + i));
    }
  }
  return out;
}

Doubles rope_reference(const std::vector<int32_t>& positions, const std::vector<float>& inv_freq) {
  Doubles out;
  for (int32_t position : positions) {
    for (float frequency : inv_freq) {
      const float angle = static_cast<float>(position) * frequency;
      out.push_back(std::cos(static_cast<double>(angle)));
      out.push_back(std::sin(static_cast<double>(angle)));
    }
  }
  return out;
}

Doubles norm_rope_reference(const HostTensor& qkv, const HeadLayout& heads, const HostTensor& q_norm, const HostTensor& k_norm,
                            double eps, const HostTensor& cos_sin) {
  Doubles out = to_doubles(qkv);
  const int64_t d = heads.head_dim;
  for (int64_t t = 0; t < qkv.rows; ++t) {
    for (int64_t h = 0; h < heads.q_heads + heads.kv_heads; ++h) {
      double* head = out.data() + t * qkv.cols + h * d;
      const HostTensor& norm = h < heads.q_heads ? q_norm : k_norm;
      if (!norm.values.empty()) {
        const Doubles normed = rms_norm_reference(Doubles(head, head + d), d, norm, eps);
        std::copy(normed.begin(), normed.end(), head);
      }
      for (int64_t i = 0; i < d / 2; ++i) {
        const double x1 = head[i], x2 = head[i + d / 2], c = cos_sin.at(t, 2 * i), s = cos_sin.at(t, 2 * i + 1);
        head[i] = x1 * c - x2 * s;
        head[i + d / 2] = x2 * c + x1 * s;
      }
    }
  }
  return out;
}

Doubles attention_reference(const HostTensor& qkv, const HeadLayout& heads, double scale, const HostBatch& batch,
                            const HostTensor& k, const HostTensor& v) {
  const int64_t d = heads.head_dim;
  Doubles out(static_cast<size_t>(qkv.rows * heads.q_heads * d), 0.0);
  for (size_t s = 0; s < batch.seq_slot.size(); ++s) {
    if (batch.context_len[s] == 0) continue;
    for (int32_t t = batch.query_start[s]; t < batch.query_start[s + 1]; ++t) {
      const int64_t visible = batch.positions[static_cast<size_t>(t)] + 1;
      for (int64_t h = 0; h < heads.q_heads; ++h) {
        const int64_t kv_head = (h + heads.offset) / heads.group;
        std::vector<int64_t> rows;
        Doubles weights;
        for (int64_t j = 0; j < visible; ++j) {
          const int64_t place = batch.place(static_cast<int64_t>(s), j);
          rows.push_back((place / batch.block_size * heads.kv_heads + kv_head) * batch.block_size + place % batch.block_size);
          double dot = 0.0;
          for (int64_t i = 0; i < d; ++i) dot += static_cast<double>(qkv.at(t, h * d + i)) * k.at(rows.back(), i);
          weights.push_back(dot * scale);
        }
        const double top = *std::max_element(weights.begin(), weights.end());
        double sum = 0.0;
        for (double& w : weights) sum += w = std::exp(w - top);
        for (size_t j = 0; j < rows.size(); ++j) {
          for (int64_t i = 0; i < d; ++i) {
            out[static_cast<size_t>((t * heads.q_heads + h) * d + i)] += weights[j] / sum * v.at(rows[j], i);
          }
        }
      }
    }
  }
  return out;
}

Doubles process_logits_reference(const std::vector<float>& logits, const SamplingRow& row, const std::vector<LogitEdit>& edits,
                                 std::vector<int32_t>& counts, const std::vector<int32_t>& last_token) {
  Doubles out(logits.begin(), logits.end());
  if (row.penalty_row >= 0) {
    if (row.output_index > 0) ++counts[static_cast<size_t>(last_token[static_cast<size_t>(row.slot)])];
    for (size_t i = 0; i < out.size(); ++i) {
      const int32_t output = counts[i] & ~kInPromptBit;
      if (counts[i] != 0) out[i] = out[i] > 0 ? out[i] / row.repetition_penalty : out[i] * row.repetition_penalty;
      if (output > 0) out[i] -= static_cast<double>(row.frequency_penalty) * output + row.presence_penalty;
    }
  }
  for (int32_t e = row.edit_begin; e < row.edit_end; ++e) {
    out[static_cast<size_t>(edits[static_cast<size_t>(e)].token)] += edits[static_cast<size_t>(e)].add;
  }
  return out;
}

double threshold_reference(const std::vector<float>& logits, const SamplingRow& row) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  if (row.temperature == 0.0f) return kNone;
  Doubles kept;
  for (float x : logits) {
    if (!std::isnan(x)) kept.push_back(x);
  }
  std::sort(kept.begin(), kept.end(), std::greater<>());
  const auto weight = [&](double x) { return std::exp((x - kept[0]) / static_cast<double>(row.temperature)); };
  // Keeps the first n and what ties with the last of them.
  const auto keep = [&](size_t n) {
    while (n < kept.size() && kept[n] == kept[n - 1]) ++n;
    kept.resize(n);
  };
  const size_t all = kept.size();
  if (row.top_k > 0 && static_cast<size_t>(row.top_k) < kept.size()) keep(static_cast<size_t>(row.top_k));
  if (row.top_p < 1.0f) {
    double total = 0.0, sum = 0.0;
    for (double x : kept) total += weight(x);
    size_t n = 0;
    do sum += weight(kept[n++]);
    while (n < kept.size() && sum < static_cast<double>(row.top_p) * total);
    keep(n);
  }
  if (row.min_p > 0.0f) {
    size_t n = 1;
    while (n < kept.size() && weight(kept[n]) >= static_cast<double>(row.min_p)) ++n;
    keep(n);
  }
  return kept.size() == all ? kNone : kept.back();
}

Doubles log_softmax_reference(const std::vector<float>& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (float x : logits) sum += std::exp(x - top);
  Doubles out;
  for (float x : logits) out.push_back(x - top - std::log(sum));
  return out;
}

}  // namespace lockstep::test
