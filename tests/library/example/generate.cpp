// The smallest use of the library: mpirun -np 2 ./generate MODEL TEXT. Streams the continuation.
#include <lockstep/llm.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: generate MODEL TEXT\n";
    return 2;
  }
  try {
    lockstep::EngineOptions options;
    options.model = argv[1];
    lockstep::LLM llm(options);  // on every rank
    if (!llm.is_root()) {
      llm.serve_rank();
      return 0;
    }
    lockstep::SamplingParams sampling;
    sampling.max_tokens = 16;
    lockstep::Follow follow;
    follow.on_token = [](const lockstep::Delta& delta) {
      std::cout << delta.text << std::flush;
      return true;
    };
    const std::vector<lockstep::RequestOutput> outputs = llm.generate({argv[2]}, sampling, follow);
    std::cout << "\n" << outputs[0].completions[0].token_ids.size() << " tokens\n";
  } catch (const lockstep::Error& error) {
    std::cerr << "generate: " << error.what() << '\n';
    return 1;
  }
}
