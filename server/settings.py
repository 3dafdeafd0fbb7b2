"""Environment variables and command-line flags in, one frozen `Settings` out.

Each field below is the only declaration of an option: `--help` prints its purpose, its default and
its environment name from here. `CLOZE_MAX_BODY_BYTES=1000000` and `--max-body-bytes 1000000` are
the same; a flag wins over the environment. `Limits` and `InferenceOptions` are the parts that
inference is handed whole; a `Settings` is both.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, CliSettingsSource, NoDecode, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from server.errors import ExitCode

ENV_PREFIX = "CLOZE_"


def _split(value: object) -> object:
    """Splits `a, b` at its commas.

    >>> _split("https://a.example, https://b.example")
    ('https://a.example', 'https://b.example')
    """
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _alias(value: str) -> str:
    """Requires `alias=model`; the alias may hold slashes, as ids of models do.

    >>> _alias("sentence-transformers/all-MiniLM-L6-v2=minilm")
    'sentence-transformers/all-MiniLM-L6-v2=minilm'
    """
    if not _ALIAS.fullmatch(value):
        raise ValueError("should be ALIAS=MODEL, such as text-embedding-3-small=minilm")
    return value


_ALIAS = re.compile(r"[A-Za-z0-9][\w.:-]*(?:/[A-Za-z0-9][\w.:-]*)*=[^=/]+", re.ASCII)
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Aliases = Annotated[
    tuple[Annotated[str, AfterValidator(_alias)], ...], NoDecode, BeforeValidator(_split)
]


# fmt: off
# ruff: noqa: E501 (an option is one line)
class Serving(BaseModel):
    """Where the server listens, and what it serves."""

    model_config = ConfigDict(frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 for any free one")
    models: Path = Field(Path("models"), description="folder of model folders, or one model folder")
    default_model: str | None = Field(None, description="model that answers what names none; otherwise the only one, or of several the one that comes with Cloze")
    alias: Aliases = Field((), description="other names of models, such as text-embedding-3-small=minilm, separated by commas or given several times; they may hold slashes")
    root_path: str = Field("", pattern=r"^(/[\w.~-]+)*$", description="what a proxy in front strips off paths, such as /bert, so that links lead there again")
    while_loading: Literal["answer", "refuse"] = Field("answer", description="what happens to requests until the models are ready: answer with 503 and Retry-After, or refuse connections; see docs/deploy.md")
    processes: int = Field(1, ge=0, le=256, description="server processes that share the cores; 0 for one per 6 cores")

    @property
    def aliases(self) -> Mapping[str, str]:
        """Each alias with its model."""
        pairs = [one.partition("=") for one in self.alias]
        return {alias: model for alias, _, model in pairs}


class Access(BaseModel):
    """Who may call, and from where."""

    model_config = ConfigDict(frozen=True)

    api_key_file: Path | None = Field(None, description="file of API keys, one of which every request but probes must then show; see docs/keys.md")
    open_metrics: bool = Field(False, description="answer /metrics without a key, where keys are asked for")
    open_docs: bool = Field(False, description="answer / and /docs without a key, where keys are asked for; the page at / then asks people for theirs")
    cors_origins: CommaSeparated = Field((), description="browser origins that may call, separated by commas; none by default")


class Answering(BaseModel):
    """What is answered, and what is made of texts that are too long."""

    model_config = ConfigDict(frozen=True)

    docs: bool = Field(True, description="serve /docs and /openapi.json, and the page at /")
    page: bool = Field(True, description="serve the page at /, where docs are served; without it / leads to /docs")
    allow_token_ids: bool = Field(False, description="accept token ids at /v1/embeddings; they must be this model's own")
    auto_truncate: bool = Field(False, description="cut texts that are too long, where a request does not say what to do with them and its route can cut")


class Ending(BaseModel):
    """How it ends, and when it counts as stuck."""

    model_config = ConfigDict(frozen=True)

    drain_delay_s: float = Field(3.0, ge=0, description="seconds after SIGTERM in which new requests are still served")
    drain_timeout_s: float = Field(20.0, gt=0, description="seconds that admitted work then has to finish")
    stuck_after_s: float = Field(60.0, gt=0, description="seconds without a sign of life from a busy worker until /livez fails")


class Logging(BaseModel):
    """What is logged, and how."""

    model_config = ConfigDict(frozen=True)

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line to log; debug adds a line per request")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="JSON lines for machines, text for people; auto is JSON unless standard error is a terminal, which is then told in a few lines what is served, and of warnings")


class Tracing(BaseModel):
    """Where traces of requests go, if anywhere."""

    model_config = ConfigDict(frozen=True)

    trace_endpoint: str | None = Field(None, pattern=r"^https?://[^\s?#]+$", description="collector that gets traces of requests, by OTLP over HTTP, such as http://localhost:4318; see docs/operations.md")
    trace_share: float = Field(0.01, ge=0, le=1, description="share of the requests that begin here that are traced; of one with a traceparent its caller decides")


class Connections(BaseModel):
    """What a connection may do, whatever is asked through it."""

    model_config = ConfigDict(frozen=True)

    max_connections: int = Field(0, ge=0, description="most open connections of each process; beyond them only probes are answered; 0 for what the limit on open files leaves")
    max_connections_per_address: int = Field(0, ge=0, description="most open connections of one client address to each process; 0 for any number, as behind a proxy")
    max_head_bytes: int = Field(65_536, ge=1024, description="largest head of a request, in bytes; cookies and tokens of a proxy fit many times")
    max_head_fields: int = Field(100, ge=1, description="most fields in the head of a request")
    max_url_bytes: int = Field(8192, ge=64, description="longest path and query of a request, in bytes")
    head_timeout_s: float = Field(10.0, gt=0, description="seconds in which the head of a request must arrive")
    body_timeout_s: float = Field(30.0, gt=0, description="seconds in which the body of a request must arrive")
    idle_timeout_s: int = Field(75, ge=1, description="seconds until a connection without a request is closed; longer than the 60 s after which proxies drop theirs")
    min_bytes_per_s: int = Field(1000, ge=1, description="bytes a second that a client must at least send of a body, and read of an answer")


class Limits(BaseModel):
    """What one request may ask for, and how much of all requests together is taken on."""

    model_config = ConfigDict(frozen=True)

    max_body_bytes: int = Field(2_000_000, ge=1, description="largest request body, in bytes")
    max_answer_bytes: int = Field(32_000_000, ge=1, description="largest answer that a request may ask for, in bytes of memory while it is put together; estimated before anything is computed")
    max_inputs: int = Field(2048, ge=1, description="most texts in one request")
    max_masks: int = Field(512, ge=1, description="most masks in one request")
    max_beams: int = Field(64, ge=1, description="most beams of a search for the best joint filling of a text's masks, and so the most fillings of one text")
    max_targets: int = Field(1000, ge=1, description="most target words in one request, those of all its lists together")
    max_top_k: int = Field(1000, ge=1, description="most candidates per mask")
    queue_tokens: int = Field(65_536, ge=1, description="most tokens that wait or are computed in each process; beyond them requests are refused with 429, and a request that has more is fed in parts as room comes")
    max_request_tokens: int = Field(524_288, ge=1, description="most tokens to compute for one request")
    pending_body_bytes: int = Field(64_000_000, ge=1, description="most bytes of request bodies that each process holds; beyond them requests are refused with 429")
    pending_answer_bytes: int = Field(64_000_000, ge=1, description="most bytes of answers that each process has promised and not sent yet; beyond them requests are refused with 429")

    default_timeout_s: float = Field(30.0, gt=0, description="seconds that a request may take, from its first byte to its answer, when it names no limit")
    max_timeout_s: float = Field(120.0, gt=0, description="seconds a request may ask for with x-request-timeout-ms")

    @model_validator(mode="after")
    def _a_request_alone_fits(self) -> Self:
        for small, large in (
            ("default_timeout_s", "max_timeout_s"),
            ("max_body_bytes", "pending_body_bytes"),
            ("max_answer_bytes", "pending_answer_bytes"),
        ):
            if getattr(self, small) > getattr(self, large):
                raise ValueError(f"{small} must not exceed {large}")
        return self


class InferenceOptions(BaseModel):
    """Where and how models are run; 0 leaves a choice to the device."""  # server.inference.options

    model_config = ConfigDict(frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where models run: cuda for an NVIDIA GPU, auto for one if it is there and otherwise the CPU")
    threads: int = Field(0, ge=0, le=1024, description="inference workers of each process; 0 for one more than its share of the cores that the container may use, 2 with a GPU")
    intra_op: int = Field(1, ge=0, le=1024, description="cores that one inference run uses; more helps single requests to big models; 0 measures at the start and uses all, where that costs less than a tenth of the throughput, or one")
    intra_op_alone: int = Field(1, ge=1, le=1024, description="cores that a run uses while nothing else runs or waits; above 1 the weights are in memory twice")
    batch_tokens: int = Field(0, ge=0, description="most tokens that one worker takes at a time; 0 for 512, 8192 with a GPU")
    run_bytes: int = Field(0, ge=0, description="most bytes of memory that one run may take beside the weights; each of the workers runs one at a time; a longer text than that allows is refused, or cut where it may be, and one with more masks is refused; 0 for 192 MiB, 8 GiB with a GPU")


class Settings(Limits, Connections, InferenceOptions, Tracing, Logging, Ending, Answering, Access, Serving, BaseSettings):
    """Serves BERT models over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, cli_kebab_case=True, cli_implicit_flags=True,
        cli_hide_none_type=True, cli_prog_name="python -m server",
    )

    @property
    def is_read_by_a_person(self) -> bool:
        """Whether somebody sits at the terminal, and has not said how to log."""
        return self.log_format == "auto" and sys.stderr.isatty()

    @property
    def log_style(self) -> tuple[str, Literal["json", "text"]]:
        """The least level that is logged, and as what."""
        if self.log_format != "auto":
            return self.log_level, self.log_format
        if not self.is_read_by_a_person:
            return self.log_level, "json"
        chosen = "log_level" in self.model_fields_set
        return (self.log_level if chosen else "warning"), "text"
# fmt: on

# In the order in which `--help` and the documents list them, each by its docstring.
GROUPS: Final = (
    Serving,
    Access,
    Answering,
    Limits,
    InferenceOptions,
    Ending,
    Logging,
    Tracing,
    Connections,
)


def title(group: type[BaseModel]) -> str:
    """What a group of options is about.

    >>> title(Access)
    'Who may call, and from where'
    """
    return (group.__doc__ or "").removesuffix(".")


# What stands behind an option, instead of the type's name.
_METAVARS: Final = {
    "str": "TEXT",
    "int": "N",
    "float": "NUMBER",
    "Path": "PATH",
    "tuple[str,...]": "TEXT,...",
}


class _Help(argparse.HelpFormatter):
    """Lists options by group, with the default and the environment name of each."""

    def add_usage(
        self,
        usage: str | None,  # noqa: ARG002 (argparse's, which would name each option)
        actions: Iterable[argparse.Action],  # noqa: ARG002
        groups: Iterable[Any],  # noqa: ARG002
        prefix: str | None = None,
    ) -> None:
        """Says that there are options, which stand below."""
        super().add_usage("%(prog)s [OPTIONS]", (), (), prefix)

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        """Puts a section for each group in place of the one that argparse has for all."""
        actions = list(actions)
        ours = {action.dest: action for action in actions if action.dest in Settings.model_fields}
        for action in ours.values():
            action.metavar = _METAVARS.get(str(action.metavar), action.metavar)
        super().add_arguments([action for action in actions if action.dest not in ours])
        for group in GROUPS if ours else ():
            self.end_section()
            self.start_section(title(group))
            super().add_arguments([ours[name] for name in group.model_fields])

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.dest not in Settings.model_fields:
            return action.help
        field = Settings.model_fields[action.dest]
        default = "" if field.default in (None, (), "") else f"; default {field.default}"
        # A percent sign would be read as a format by argparse.
        text = f"{field.description}{default} [{ENV_PREFIX}{action.dest.upper()}]"
        return text.replace("%", "%%")


def read_settings(arguments: Sequence[str]) -> Settings:
    """Reads `arguments` (without the program's name) over the environment.

    Exits with code 2 and one line per mistake when something is not understood.
    """
    if unknown := sorted(name for name in os.environ if not _is_known(name)):
        refuse(
            [
                f"{name}: there is no such option; python -m server --help lists them"
                for name in unknown
            ]
        )
    source: CliSettingsSource[object] = CliSettingsSource(
        Settings, cli_parse_args=list(arguments), formatter_class=_Help
    )
    try:
        return Settings(_cli_settings_source=source)
    except ValidationError as mistakes:
        refuse([_mistake(error["loc"], error["msg"]) for error in mistakes.errors()])
    except SettingsError as mistake:
        refuse([str(mistake)])


def _is_known(variable: str) -> bool:
    """Whether an environment variable is none of ours, or an option's."""
    ours = variable.upper().startswith(ENV_PREFIX)
    return not ours or variable.upper().removeprefix(ENV_PREFIX).lower() in Settings.model_fields


def _mistake(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message
    field = str(location[0])
    return f"--{field.replace('_', '-')} ({ENV_PREFIX}{field.upper()}): {message}"


def refuse(mistakes: Sequence[str]) -> NoReturn:
    """Ends the program with code 2, with one line per mistake."""
    sys.stderr.writelines(f"error: {mistake}\n" for mistake in mistakes)
    raise SystemExit(ExitCode.BAD_SETTINGS)
