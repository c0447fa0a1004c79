"""What every role is made of: the stores, the policy, and the ways to decide, deliver and put on record."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from sca_service.alerts.book import AlertBook
from sca_service.alerts.cards.desk import CardDesk
from sca_service.alerts.cards.postgres_store import CardStore
from sca_service.alerts.cards.writer import CardWriter
from sca_service.alerts.consent.postgres_store import ConsentStore
from sca_service.alerts.deliveries import Deliveries
from sca_service.alerts.postgres_store import AlertStore
from sca_service.alerts.replaced_lines import ReplacedLines
from sca_service.audit.announce import Announcer
from sca_service.audit.export.postgres_store import connect_reader
from sca_service.audit.log.reader import LogReader
from sca_service.audit.postgres_store import AnnouncementStore, StoryReader
from sca_service.audit.private.vault import Vault
from sca_service.audit.reading import ReadingRecord
from sca_service.audit.redis_store import Outbox
from sca_service.audit.writer import AuditWriter
from sca_service.authenticators.device_key.devices import Devices
from sca_service.authenticators.device_key.redis_store import ProofStore
from sca_service.authenticators.enrolment.contents import Contents
from sca_service.authenticators.enrolment.enrolment import Enrolment
from sca_service.authenticators.enrolment.postgres_store import EnrolmentStore
from sca_service.authenticators.enrolment.proofs import Proofs
from sca_service.authenticators.generators import Generators
from sca_service.authenticators.passkey.passkeys import Passkeys
from sca_service.authenticators.pin.check import Pins
from sca_service.authenticators.pin.hashing import PinHasher
from sca_service.authenticators.postgres_store import AuthenticatorStore
from sca_service.challenges.allow_list.keeper import AllowListKeeper
from sca_service.challenges.allow_list.postgres_store import AllowListStore
from sca_service.challenges.ask import Asker
from sca_service.challenges.delivery_book import ChallengeBook
from sca_service.challenges.evidence import EvidenceMaker
from sca_service.challenges.follow import Follower
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.pumping import PumpingGuard
from sca_service.challenges.record import Recorder
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.challenges.sending_limits import SendingLimits
from sca_service.delivery.channels.push.postgres_store import SubscriptionStore
from sca_service.delivery.channels.push.subscriptions import PushSubscriptions
from sca_service.delivery.http_client import HttpClient
from sca_service.delivery.inbox import Inbox
from sca_service.delivery.postgres_store import OptOutStore
from sca_service.delivery.receipts import DeliveryBook, Receipts
from sca_service.delivery.redis_store import SentTextStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.forgetting import warn_of_forgetting
from sca_service.kernel.postgres import connect_postgres
from sca_service.kernel.primary import Primary, primaries_of
from sca_service.kernel.tracing.traces import Traces, open_traces
from sca_service.limits.pumping.redis_store import PumpingStore
from sca_service.limits.pumping.standing import StandingBlocks
from sca_service.limits.redis_store import LimitStore
from sca_service.log_keys import log_signers
from sca_service.policy.load import load
from sca_service.policy.model import Policy
from sca_service.policy.pumping import AtBlock
from sca_service.policy.supply import SupplyPolicy
from sca_service.risk.assessor import Assessor
from sca_service.risk.camara import OperatorClient, line_desk
from sca_service.risk.redis_store import LineStore, RiskStore
from sca_service.routing.router import Router
from sca_service.settings import Settings
from sca_service.supply import Surroundings, open_router, working_supply


@dataclass(frozen=True, slots=True)
class Core:
    """What every role shares: the stores, the policy, and the way to put something on record."""

    settings: Settings
    policy: Policy
    supply: SupplyPolicy
    redis: RedisConnection
    direct: Primary
    primary: Primary
    postgres: asyncpg.Pool
    store: ChallengeStore
    archive: ChallengeArchive
    outbox: Outbox
    writer: AuditWriter
    vault: Vault
    reader: asyncpg.Pool
    log_reader: LogReader
    recorder: Recorder
    pin_hasher: PinHasher
    clock: SystemClock
    http: HttpClient
    router: Router
    traces: Traces | None

    def book(self, actor: str) -> ChallengeBook:
        """The deliveries of challenges, kept by a role (`worker`, `api`)."""
        return ChallengeBook(
            policy=self.policy,
            keyring=self.settings.keyring,
            store=self.store,
            recorder=self.recorder,
            actor=actor,
        )

    def sending_limits(self) -> SendingLimits:
        """What counts messages and their money."""
        return SendingLimits(
            policy=self.policy,
            supply=self.supply,
            keyring=self.settings.keyring,
            limits=LimitStore(self.redis),
        )

    def alert_book(self, actor: str, pool: asyncpg.Pool | None = None) -> AlertBook:
        """The deliveries of alerts, kept by a role; over a pool of its own where it sends them."""
        postgres = pool or self.postgres
        return AlertBook(
            policy=self.policy,
            keyring=self.settings.keyring,
            store=AlertStore(postgres),
            wishes=ConsentStore(postgres),
            guard=StandingBlocks(
                policy=self.policy.pumping,
                at_block=self._at_block,
                keyring=self.settings.keyring,
                store=PumpingStore(self.redis, self.policy.pumping),
            ),
            actor=actor,
            quiet_hours=self.policy.alerts.notices.quiet_hours.where(
                sandbox=self.settings.sandbox_folder is not None
            ),
        )

    def deliveries(self, actor: str) -> Deliveries:
        """All deliveries, as suppliers' words are put down."""
        return Deliveries(challenges=self.book(actor), alerts=self.alert_book(actor))

    def receipts(self, book: DeliveryBook) -> Receipts:
        """Where suppliers' words are put into."""
        return Receipts(book=book, inbox=self.inbox(book), scores=self.router, traces=self.traces)

    def surroundings(self, receipts: Receipts) -> Surroundings:
        """What suppliers are built with; `receipts` hears those that tell without HTTP."""
        return Surroundings(
            settings=self.settings,
            redis=self.redis,
            clock=self.clock,
            devices=self.devices(),
            ear=receipts,
            http=self.http,
        )

    def inbox(self, book: DeliveryBook) -> Inbox:
        """What understands payers' replies to texts."""
        return Inbox(
            policy=self.policy,
            sent=self.sent_texts(),
            opt_outs=OptOutStore(self.postgres),
            declines=book,
            keyring=self.settings.keyring,
            clock=self.clock,
        )

    def card_desk(self, pool: asyncpg.Pool | None = None) -> CardDesk:
        """What keeps cards' balances and charges; over a pool of its own where it looks at what is due."""
        keyring = self.settings.keyring
        store = CardStore(pool or self.postgres, self.policy.alerts, CardWriter(self.policy, keyring))
        return CardDesk(policy=self.policy, keyring=keyring, store=store, clock=self.clock)

    def readings(self) -> ReadingRecord:
        """What puts down who read the log."""
        return ReadingRecord(self.writer, self.clock)

    def announcer(self, actor: str) -> Announcer:
        """What tells the log of a policy and keys that are new to it, for a role."""
        return Announcer(
            announcements=AnnouncementStore(self.postgres),
            writer=self.writer,
            outbox=self.outbox,
            clock=self.clock,
            actor=actor,
        )

    def evidence(self) -> EvidenceMaker:
        """What collects the proof of a challenge."""
        return EvidenceMaker(
            stories=StoryReader(self.reader),
            log=self.log_reader,
            vault=self.vault,
            verifier_keys=[signer.verifier_key for signer in log_signers(self.settings)],
            clock=self.clock,
        )

    def sent_texts(self) -> SentTextStore:
        """What remembers to whom a text went last."""
        return SentTextStore(self.redis, self.settings.keyring)

    def follower(self) -> Follower:
        """What reads challenges and steers the pending ones."""
        return Follower(
            policy=self.policy,
            keyring=self.settings.keyring,
            store=self.store,
            archive=self.archive,
            limits=LimitStore(self.redis),
            recorder=self.recorder,
        )

    def enrolment(self) -> Enrolment:
        """What keeps payers' authenticators."""
        policy, keyring, site = self.policy.authenticators, self.settings.keyring, self.settings.site
        return Enrolment(
            policy=policy,
            keyring=keyring,
            authenticators=AuthenticatorStore(self.postgres),
            store=EnrolmentStore(self.postgres, ReplacedLines(self.policy, keyring)),
            contents=Contents(policy=policy, keyring=keyring, pins=self.pin_hasher, site=site),
            proofs=Proofs(policy=policy, keyring=keyring, pins=self.pin_hasher, site=site, clock=self.clock),
            clock=self.clock,
        )

    def pins(self) -> Pins:
        """What checks payers' PINs."""
        return Pins(
            keyring=self.settings.keyring, store=AuthenticatorStore(self.postgres), hasher=self.pin_hasher
        )

    def signing_devices(self) -> Devices:
        """What knows payers' devices by their signatures."""
        return Devices(
            keyring=self.settings.keyring,
            store=AuthenticatorStore(self.postgres),
            proofs=ProofStore(self.redis),
            clock=self.clock,
        )

    def passkeys(self) -> Passkeys:
        """What asks for payers' passkeys and evaluates what they sign."""
        return Passkeys(
            keyring=self.settings.keyring,
            store=AuthenticatorStore(self.postgres),
            site=self.settings.site,
            suspends=self.enrolment(),
        )

    def risk_store(self) -> RiskStore:
        """What is learned of payers, devices, payees and addresses."""
        return RiskStore(self.redis, self.policy.risk.memory)

    def pumping_guard(self) -> PumpingGuard | None:
        """What is asked before a message is paid for; None where the policy has it off."""
        if self._at_block is AtBlock.OFF:
            return None
        return PumpingGuard(
            policy=self.policy.pumping,
            at_block=self._at_block,
            keyring=self.settings.keyring,
            store=PumpingStore(self.redis, self.policy.pumping),
            recorder=self.recorder,
        )

    @property
    def _at_block(self) -> AtBlock:
        return self.policy.pumping.at_block_where(sandbox=self.settings.sandbox_folder is not None)

    def allow_list_keeper(self) -> AllowListKeeper:
        """What keeps Redis' copy of the allow-list."""
        return AllowListKeeper(AllowListStore(self.postgres), PumpingStore(self.redis, self.policy.pumping))

    def assessor(self) -> Assessor:
        """What assesses requests."""
        settings, secret = self.settings, self.settings.camara_client_secret
        client = OperatorClient(settings.camara_client_id, secret) if secret else None
        desk = line_desk(
            self.policy.risk.line,
            client,
            http=self.http,
            memory=LineStore(self.redis),
            keyring=settings.keyring,
            clock=self.clock,
        )
        return Assessor(
            self.policy,
            store=self.risk_store(),
            failures=self.store,
            desk=desk,
            keyring=settings.keyring,
            clock=self.clock,
        )

    def asker(self) -> Asker:
        """What asks payers' authenticators."""
        return Asker(self.generators(), self.signing_devices(), self.passkeys())

    def generators(self) -> Generators:
        """What evaluates the codes of payers' generators."""
        return Generators(
            policy=self.policy.authenticators,
            keyring=self.settings.keyring,
            store=AuthenticatorStore(self.postgres),
            clock=self.clock,
        )

    def devices(self) -> PushSubscriptions:
        """The payers' devices that push reaches."""
        return PushSubscriptions(
            store=SubscriptionStore(self.postgres), keyring=self.settings.keyring, clock=self.clock
        )


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """Connect to the stores and load the policy. Raises StoreUnavailable, ConfigurationError."""
    policy = load(settings.policies)
    supply = working_supply(policy, sandbox=settings.sandbox_folder is not None)
    async with AsyncExitStack() as stack:
        traces = await stack.enter_async_context(open_traces(settings.tracing))
        redis = RedisConnection(settings.redis.url, replicas=settings.redis.replicas)
        stack.push_async_callback(redis.close)
        await redis.ready()
        direct, primary = primaries_of(settings.postgres_url, settings.postgres_pooler_url)
        postgres = await connect_postgres(primary, most_connections=6, leaves_nothing=True)
        stack.push_async_callback(postgres.close)
        await warn_of_forgetting(redis, postgres)
        archive = ChallengeArchive(postgres)
        vault = Vault(postgres, settings.keyring)
        reader = await connect_reader(direct, most_connections=2)
        stack.push_async_callback(reader.close)
        writer = AuditWriter(postgres, archive, vault)
        stack.push_async_callback(writer.close)
        outbox = Outbox(redis)
        stack.push_async_callback(outbox.close)
        store = ChallengeStore(redis)
        pin_hasher = PinHasher(settings.keyring.pin_pepper)
        stack.push_async_callback(pin_hasher.close)
        http = HttpClient()
        stack.push_async_callback(http.close)
        router = open_router(settings, supply, redis, http)
        stack.push_async_callback(router.close)
        yield Core(
            settings=settings,
            policy=policy,
            supply=supply,
            redis=redis,
            direct=direct,
            primary=primary,
            postgres=postgres,
            store=store,
            archive=archive,
            outbox=outbox,
            writer=writer,
            vault=vault,
            reader=reader,
            log_reader=LogReader(postgres),
            recorder=Recorder(writer=writer, outbox=outbox, archive=archive, store=store),
            pin_hasher=pin_hasher,
            clock=SystemClock(),
            http=http,
            router=router,
            traces=traces,
        )
