"""A real Slurm cluster of two nodes on one Linux machine, for tests: slurmctld outside, and each slurmd in network, mount, UTS and PID
namespaces of its own, joined by a bridge. Nodes have their own host name, /tmp and /dev/shm; killing the first process of a node is the
death of the node. Needs root, Debian's slurm-wlm and munge, iproute2 and util-linux; touches no configuration of the machine.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ["slurmctld", "slurmd", "munged", "mungekey", "ip", "nsenter", "unshare", "sbatch", "srun", "scontrol", "sinfo", "squeue", "scancel", "mount"]
NODES = ["node1", "node2"]
START_TIMEOUT = 40


class Failure(Exception):
    pass


def why_not():
    """Why there can be no cluster here; empty when there can."""
    if os.geteuid() != 0:
        return "it needs root, for namespaces"
    environment = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    for program in PROGRAMS:
        if shutil.which(program, path=environment["PATH"]) is None:
            return f"{program} is not installed (apt-get install slurm-wlm munge iproute2 util-linux)"
    probe = f"lsp{os.getpid() % 100000}"
    for command in (["unshare", "--mount", "--uts", "--pid", "--fork", "true"], ["ip", "link", "add", probe, "type", "bridge"],
                    ["ip", "link", "del", probe], ["ip", "netns", "add", probe], ["ip", "netns", "del", probe]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"the kernel refuses `{' '.join(command)}`: {done.stderr.strip()}"
    return ""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=options.pop("timeout", 60), **options)
    if done.returncode != 0:
        raise Failure(f"`{' '.join(map(str, command))}` gave {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what, condition, timeout):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.3)
    raise Failure(f"{what} did not come within {timeout} s")


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


class Cluster:
    """`with Cluster() as cluster:`. cluster.shared is a directory that all nodes see at the same path."""

    def __init__(self, cpus=None, gpus=2):
        self.cpus = cpus or max(2, len(os.sched_getaffinity(0)))
        self.gpus = gpus
        # Not in /tmp, which nodes have of their own.
        self.shared = Path(tempfile.mkdtemp(prefix="lockstep-cluster-", dir="/var/tmp"))
        self.shared.chmod(0o755)
        self.processes = {}
        self.tag = f"{os.getpid() % 100000}"
        self.net = f"10.213.{os.getpid() % 250}"
        self.environment = dict(os.environ, SLURM_CONF=str(self.shared / "slurm.conf"), PATH=os.environ["PATH"] + ":/usr/sbin:/sbin",
                                OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        for name in list(self.environment):
            if name.startswith(("SLURM_JOB", "SLURM_STEP", "OMPI_COMM", "PMIX", "PMI_")):
                del self.environment[name]

    def __enter__(self):
        try:
            self._write_files()
            self._make_network()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    # ---- pieces of the start ----

    def _write_files(self):
        for name in ("state", "log", "munge", *(f"spool-{n}" for n in NODES)):
            (self.shared / name).mkdir()
        host = socket.gethostname().split(".")[0]
        self.ctld_port, self.slurmd_port = free_port(), free_port()
        hosts = [f"127.0.0.1 localhost", f"{self.net}.1 {host}"] + [f"{self.net}.{11 + i} {n}" for i, n in enumerate(NODES)]
        (self.shared / "hosts").write_text("\n".join(hosts) + "\n")
        nodes = "\n".join(f"NodeName={n} NodeAddr={self.net}.{11 + i} CPUs={self.cpus} Boards=1 SocketsPerBoard=1 "
                          f"CoresPerSocket={self.cpus} ThreadsPerCore=1 RealMemory=1000 Gres=gpu:{self.gpus}" for i, n in enumerate(NODES))
        for i in range(self.gpus):
            (self.shared / f"gpu{i}").touch()  # what stands for a device
        (self.shared / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={self.shared}/gpu[0-{self.gpus - 1}]\n")
        # Jobs are told of in a file: slurmdbd would need a database server. cred_expire is also how long a requeued job is held.
        (self.shared / "slurm.conf").write_text(f"""
ClusterName=lockstep{self.tag}
SlurmctldHost={host}({self.net}.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={self.ctld_port}
SlurmdPort={self.slurmd_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={self.shared}/munge/socket,cred_expire=20
StateSaveLocation={self.shared}/state
SlurmdSpoolDir={self.shared}/spool-%n
SlurmctldPidFile={self.shared}/slurmctld.pid
SlurmdPidFile={self.shared}/slurmd-%n.pid
SlurmctldLogFile={self.shared}/log/slurmctld
SlurmdLogFile={self.shared}/log/slurmd-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={self.shared}/jobs.log
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=10
KillWait=5
InactiveLimit=0
MinJobAge=300
ReturnToService=2
JobRequeue=1
MailProg=/bin/true
{nodes}
PartitionName=all Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP
""")

    def _make_network(self):
        self.bridge = f"lsb{self.tag}"
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.net}.1/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        for i, node in enumerate(NODES):
            space, outer = self._space(node), f"lsv{i}{self.tag}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", outer, "master", self.bridge, "up")
            for command in (["addr", "add", f"{self.net}.{11 + i}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"],
                            ["route", "add", "default", "via", f"{self.net}.1"]):
                run("ip", "-n", space, *command)

    def _space(self, node):
        return f"ls{self.tag}{node}"

    def _spawn(self, name, command):
        log = open(self.shared / "log" / f"{name}.out", "wb")
        self.processes[name] = subprocess.Popen([str(c) for c in command], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=subprocess.STDOUT, start_new_session=True)
        log.close()

    def _start(self):
        munge = self.shared / "munge"
        run("mungekey", "--create", f"--keyfile={munge}/key", env=self.environment)
        self._spawn("munged", ["munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
                               f"--pid-file={munge}/pid", f"--seed-file={munge}/seed", f"--log-file={munge}/log"])
        wait_for("munged's socket", (munge / "socket").exists, START_TIMEOUT)
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", self.shared / "slurm.conf"])
        for node in NODES:
            self.start_node(node)
        wait_for("idle nodes", lambda: self.node_states() == {n: "idle" for n in NODES}, START_TIMEOUT)

    def start_node(self, node):
        inside = (f"mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /dev/shm && mount --bind {self.shared}/hosts /etc/hosts && "
                  f"hostname {node} && exec slurmd -D -N {node} -f {self.shared}/slurm.conf")
        self._spawn(node, ["nsenter", f"--net=/var/run/netns/{self._space(node)}", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                           "--mount-proc", "--kill-child", "--propagation", "private", "sh", "-c", inside])

    # ---- what tests ask of it ----

    def slurm(self, *command, **options):
        """Runs a client of Slurm outside the nodes; returns its output."""
        return run(*command, env=self.environment, **options)

    def node_states(self):
        try:
            lines = self.slurm("sinfo", "-h", "-N", "-o", "%N %t", timeout=15).split("\n")
        except (Failure, subprocess.TimeoutExpired):
            return {}
        return {name: state.rstrip("*") for name, state in (line.split() for line in lines if line.strip())}

    def job(self, number):
        """Fields of `scontrol show job`."""
        text = self.slurm("scontrol", "-o", "show", "job", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def wait_job(self, number, states=("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"), timeout=60):
        found = {}

        def ended():
            found.update(self.job(number))
            return found["JobState"] in states
        try:
            wait_for(f"job {number} in state {states}", ended, timeout)
        except Failure as failure:
            raise Failure(f"{failure}; it is {found.get('JobState')} ({found.get('Reason')})\n{self.logs()}") from None
        return found

    def init_of(self, node):
        """The first process of the node's PID namespace, as seen from outside."""
        outer = self.processes[node].pid  # nsenter has become unshare, whose child is the first process
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if not children:
            raise Failure(f"{node} has no process\n{self.logs()}")
        return int(children[0])

    def on_node(self, node, *command):
        """The command line that runs `command` on that node, as a remote shell would."""
        return ["nsenter", f"--target={self.init_of(node)}", "--net", "--mount", "--uts", "--ipc", "--pid", *map(str, command)]

    def kill_node(self, node):
        os.kill(self.init_of(node), signal.SIGKILL)  # and with it all processes of its namespace
        self.processes.pop(node).wait(20)

    def logs(self, lines=25):
        parts = []
        for path in sorted((self.shared / "log").iterdir()):
            text = path.read_text(errors="replace").split("\n")
            parts.append(f"--- {path.name}\n" + "\n".join(text[-lines:]))
        return "\n".join(parts)

    def close(self):
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            try:
                if name in NODES:
                    self.processes[name] = process
                    os.kill(self.init_of(name), signal.SIGKILL)
                    self.processes.pop(name)
                else:
                    process.terminate()
                process.wait(10)
            except (Failure, OSError, subprocess.TimeoutExpired):
                self.processes.pop(name, None)
                process.kill()
        for node in NODES:
            subprocess.run(["ip", "netns", "del", self._space(node)], capture_output=True)
        subprocess.run(["ip", "link", "del", f"lsb{self.tag}"], capture_output=True)
        shutil.rmtree(self.shared, ignore_errors=True)
