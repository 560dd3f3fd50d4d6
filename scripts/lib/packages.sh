# Sourced after common.sh: what the build, the tests and the demo need from apt (Debian 12, Ubuntu 24.04).
# shellcheck shell=bash disable=SC2034

BUILD_PACKAGES=(g++ cmake ninja-build ccache pkg-config git ca-certificates libopenmpi-dev openmpi-bin libcli11-dev libyaml-cpp-dev
  libgtest-dev nlohmann-json3-dev libspdlog-dev libfmt-dev libpcre2-dev libutf8proc-dev libssl-dev
  libboost-dev prometheus-cpp-dev libedit-dev)
# One version of clang-format everywhere: others format differently. Slurm: for the cluster of tests/cluster.
TEST_PACKAGES=(python3 python3-jsonschema clang-format-14 slurm-wlm slurm-wlm-basic-plugins munge iproute2 util-linux procps)
FUZZ_PACKAGES=(clang-16 libclang-rt-16-dev)  # the oldest that takes our C++20; both distributions have it
TIDY_PACKAGES=(clang-tidy-16)
DEMO_PACKAGES=(python3 python3-venv)

# install_packages name…: asks apt only for those that dpkg does not know as installed.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "needs ${missing[*]}, and there is no apt-get here to install them with"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || die "apt-get could not install ${missing[*]}"
}
