// An application that has MPI for itself, and lends parts of it: mpirun -np N ./communicator MODEL. Rank 0 alone runs one copy of
// the model, all others together another; both answer at once, and must agree.
#include <lockstep/llm.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <iostream>

namespace {

constexpr int kTokens = 12;

std::array<int32_t, kTokens> ask(const lockstep::EngineOptions& options, MPI_Comm group) {
  std::array<int32_t, kTokens> tokens{};
  lockstep::LLM llm(options, lockstep::MpiCommunicator{MPI_Comm_c2f(group)});
  if (llm.is_root()) {
    lockstep::SamplingParams sampling;
    sampling.max_tokens = kTokens;
    sampling.ignore_eos = true;
    const auto outputs = llm.generate_from_tokens({{24, 70, 327, 251}}, sampling);
    std::copy_n(outputs[0].completions[0].token_ids.begin(), kTokens, tokens.begin());
  } else {
    llm.serve_rank();
  }
  return tokens;
}

int run(const lockstep::EngineOptions& options) {
  int rank = 0, group_rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm group = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, rank == 0 ? 0 : 1, rank, &group);
  MPI_Comm_rank(group, &group_rank);
  for (int life = 0; life < 2; ++life) {
    std::array<int32_t, kTokens> mine = ask(options, group);
    // The groups' roots are ranks 0 and 1.
    std::array<int32_t, kTokens> other{};
    if (rank == 1) MPI_Send(mine.data(), kTokens, MPI_INT32_T, 0, 5, MPI_COMM_WORLD);
    if (rank == 0) {
      MPI_Recv(other.data(), kTokens, MPI_INT32_T, 1, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (mine != other || mine == std::array<int32_t, kTokens>{}) {
        std::cerr << "communicator: the two copies of the model disagree\n";
        return 1;
      }
    }
  }
  MPI_Comm_free(&group);
  if (rank == 0) std::cout << "communicator passed\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int code = 2;
  if (argc == 2) {
    try {
      lockstep::EngineOptions options;
      options.model = argv[1];
      options.threads = 1;
      options.max_num_seqs = 4;
      code = run(options);
    } catch (const lockstep::Error& error) {
      std::cerr << "communicator: " << error.what() << '\n';
      code = 1;
    }
  }
  if (code != 0) MPI_Abort(MPI_COMM_WORLD, code);
  MPI_Finalize();
  return code;
}
