#include "config/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace lockstep {
namespace {

struct Flag {
  std::vector<std::string> names;  // with dashes; of a positional the name of its value alone
  std::string value;               // what follows; empty for a switch
  std::string help;
  bool required = false, positional = false;
  // A value is text by the user, or one of these.
  std::vector<std::string> choices;
  std::string line() const {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    return value.empty() || positional ? all : all + " " + value;
  }
  bool wants_file() const { return value == "FILE" || value == "DIR" || value == "MODEL" || value.ends_with("|FILE"); }
};

struct Command {
  std::string name;  // "bench latency"; empty for the program itself
  std::string help;
  std::string footer;
  std::vector<Flag> flags;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(at, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Flag flag_of(const CLI::Option& option) {
  Flag flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.positional = flag.names.empty();
  flag.help = option.get_description();
  flag.required = option.get_required();
  if (option.get_items_expected_max() > 0) flag.value = option.get_type_name();
  if (flag.positional) {
    flag.value = option.get_name(true, false);
    flag.names = {flag.value};
  }
  // "auto|cpu|cuda": words of lower case
  const std::vector<std::string> words = split(flag.value, '|');
  const auto is_word = [](const std::string& w) {
    return std::none_of(w.begin(), w.end(), [](unsigned char c) { return std::isupper(c); });
  };
  if (words.size() > 1) std::copy_if(words.begin(), words.end(), std::back_inserter(flag.choices), is_word);
  return flag;
}

void collect(const CLI::App& app, const std::string& name, std::vector<Command>& commands) {
  Command command{name, app.get_description(), app.get_footer(), {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    command.flags.push_back(flag_of(*option));
  }
  commands.push_back(std::move(command));
  for (const CLI::App* sub : app.get_subcommands({}))
    collect(*sub, name.empty() ? sub->get_name() : name + " " + sub->get_name(), commands);
}

std::string escape_cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

std::string markdown(const std::vector<Command>& commands) {
  std::string text =
      "# Reference\n\nEvery subcommand and option, written by `lockstep reference markdown`; the tests hold this page to the "
      "program. A switch with "
      "two names is set by the first and cleared by the second. Names follow vLLM's where it has one; options of the groups of "
      "the engine may also stand in the "
      "`engine:` section of a model's YAML file ([models](models.md)).\n";
  for (const Command& c : commands) {
    if (c.name.empty()) continue;
    text += fmt::format("\n## lockstep {}\n\n{}.\n", c.name, c.help);
    if (!c.flags.empty()) text += "\n| option | meaning |\n|---|---|\n";
    for (const Flag& f : c.flags)
      text += fmt::format("| `{}` | {}{} |\n", escape_cell(f.line()), escape_cell(f.help), f.required ? " (required)" : "");
    if (!c.footer.empty()) text += fmt::format("\n```text\n{}\n```\n", c.footer);
  }
  return text;
}

// roff: a backslash and a dash mean something, as do a dot and a quote at the start of a line.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string man(const std::vector<Command>& commands) {
  std::string text =
      ".TH LOCKSTEP 1\n.SH NAME\nlockstep \\- LLM inference for mpirun and Slurm\n.SH SYNOPSIS\n.B lockstep\n.I "
      "subcommand\n[options]\n.br\n.B mpirun\n\\-np\n"
      ".I N\n.B lockstep\n.I subcommand\n[options]\n.SH DESCRIPTION\n" +
      roff(commands.front().help) + "\n";
  for (const Command& c : commands) {
    text += c.name.empty() ? ".SH OPTIONS\n" : fmt::format(".SH {}\n{}.\n", roff("lockstep " + c.name), roff(c.help));
    for (const Flag& f : c.flags)
      text += fmt::format(".TP\n.B {}\n{}{}\n", roff(f.line()), roff(f.help), f.required ? " (required)" : "");
    if (!c.footer.empty()) text += fmt::format(".PP\n.nf\n{}\n.fi\n", roff(c.footer));
  }
  return text;
}

// The words that may come at each place: subcommands, then options.
std::string words_of(const Command& command, const std::vector<Command>& all) {
  std::string words;
  const std::string prefix = command.name.empty() ? "" : command.name + " ";
  for (const Command& c : all) {
    if (c.name.size() > prefix.size() && c.name.starts_with(prefix) && c.name.find(' ', prefix.size()) == std::string::npos) {
      words += " " + c.name.substr(prefix.size());
    }
  }
  for (const Flag& f : command.flags) {
    for (const std::string& name : f.positional ? std::vector<std::string>{} : f.names) words += " " + name;
  }
  return words.empty() ? words : words.substr(1);
}

std::string bash(const std::vector<Command>& commands) {
  std::string cases, values;
  for (const Command& c : commands) {
    cases += fmt::format("    '{}') words='{}' ;;\n", c.name, words_of(c, commands));
    for (const Flag& f : c.flags) {
      if (f.choices.empty()) continue;
      std::string choices;
      for (const std::string& choice : f.choices) choices += (choices.empty() ? "" : " ") + choice;
      for (const std::string& name : f.positional ? std::vector<std::string>{""} : f.names) {
        if (!f.positional) values += fmt::format("    '{} {}') words='{}' ;;\n", c.name, name, choices);
      }
    }
  }
  return "# bash completion for lockstep, written by `lockstep reference bash`.\n"
         "_lockstep() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command='' words='' i\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    case ${COMP_WORDS[i]} in -*) break ;; esac\n"
         "    command+=${command:+ }${COMP_WORDS[i]}\n"
         "  done\n"
         "  case \"$command $previous\" in\n" +
         values +
         "  esac\n"
         "  if [ -z \"$words\" ]; then\n"
         "    case $command in\n" +
         cases +
         "    esac\n"
         "  fi\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  if [ ${#COMPREPLY[@]} -eq 0 ]; then compopt -o default; fi\n"
         "}\n"
         "complete -F _lockstep lockstep\n";
}

std::string zsh(const std::vector<Command>& commands) {
  return "#compdef lockstep\n# Written by `lockstep reference zsh`, through bash's completion.\nautoload -U +X bashcompinit && "
         "bashcompinit\n" +
         bash(commands);
}

std::string fish_text(std::string text) {
  for (size_t at = 0; (at = text.find_first_of("'\\", at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

std::string fish(const std::vector<Command>& commands) {
  std::string text = "# fish completion for lockstep, written by `lockstep reference fish`.\n";
  for (const Command& c : commands) {
    std::string when = "__fish_use_subcommand";
    if (!c.name.empty()) {
      const std::vector<std::string> words = split(c.name, ' ');
      when.clear();
      for (const std::string& word : words) when += (when.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
      std::string parent = words.size() == 1 ? "__fish_use_subcommand" : "__fish_seen_subcommand_from " + words.front();
      text += fmt::format("complete -c lockstep -n '{}' -f -a {} -d '{}'\n", parent, words.back(), fish_text(c.help));
    }
    for (const Flag& f : c.flags) {
      if (f.positional) continue;
      std::string names, choices;
      for (const std::string& name : f.names) names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      for (const std::string& choice : f.choices) choices += (choices.empty() ? "" : " ") + choice;
      const std::string value = f.value.empty()    ? ""
                                : !choices.empty() ? " -x -a '" + choices + "'"
                                : f.wants_file()   ? " -r"
                                                   : " -x";
      text += fmt::format("complete -c lockstep -n '{}'{}{} -d '{}'\n", when, names, value, fish_text(f.help));
    }
  }
  return text;
}

}  // namespace

std::string reference(const CLI::App& app, ReferenceFormat format) {
  std::vector<Command> commands;
  collect(app, "", commands);
  switch (format) {
    case ReferenceFormat::kMarkdown: return markdown(commands);
    case ReferenceFormat::kMan: return man(commands);
    case ReferenceFormat::kBash: return bash(commands);
    case ReferenceFormat::kZsh: return zsh(commands);
    case ReferenceFormat::kFish: return fish(commands);
  }
  return "";
}

}  // namespace lockstep
