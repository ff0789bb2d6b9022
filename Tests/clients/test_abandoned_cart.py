"""Examples/abandoned-cart: whoever has left a cart gets one mail, and nobody else, over kills of sender and server."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from aiosmtpd.controller import Controller
from google.protobuf.wrappers_pb2 import StringValue

import conftest
from conftest import ROOT, custom, event, profiles_pb2, profiles_pb2_grpc, track, types_pb2, wait_until

EXAMPLE = ROOT / "Examples/abandoned-cart"
DELAY = 2


class Sink:
    """A mail server that keeps every mail, and calls `arrived` with their number before it says OK."""

    def __init__(self):
        self.mails, self.arrived, self.lock = [], lambda number: None, threading.Lock()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody-"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        with self.lock:
            self.mails.append((envelope.rcpt_tos[0], envelope.content.decode()))
            self.arrived(len(self.mails))
        return "250 OK"

    def header(self, mail, name):
        text = re.sub(r"\r\n[ \t]+", " ", mail[1].partition("\r\n\r\n")[0])
        return re.search(rf"^{name}: *(.*)$", text, re.MULTILINE | re.IGNORECASE)[1].strip()

    def boxes(self):
        """By Message-ID, as a mailbox keeps them: the recipient."""
        with self.lock:
            return {self.header(mail, "Message-ID"): mail[0] for mail in self.mails}

    def recipients(self):
        return sorted(self.boxes().values())

    def to(self, name):
        with self.lock:
            return [mail for mail in self.mails if mail[0] == address(name)]


def address(name):
    return f"{name}@example.org"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Sender:
    """The example as a process, with one file of outcomes and one address of its links."""

    def __init__(self, server, smtp_port, folder):
        self.site = f"127.0.0.1:{free_port()}"
        self.log = open(folder / "sender.log", "w+")
        self.words = [
            *[sys.executable, str(EXAMPLE / "sender.py"), "--server", server.listen],
            *["--smtp", f"127.0.0.1:{smtp_port}", "--state", str(folder / "outcomes.sqlite")],
            *["--delay", str(DELAY), "--site", f"http://{self.site}", "--listen", self.site],
        ]
        self.process = None

    def start(self):
        stubs = pathlib.Path(conftest.profiles_pb2.__file__).parents[2]
        self.process = subprocess.Popen(
            self.words, env={**os.environ, "PYTHONPATH": str(stubs)}, stdin=subprocess.DEVNULL, stderr=self.log
        )

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def said(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()


@pytest.fixture
def sink():
    handler = Sink()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    handler.port = controller.port
    yield handler
    controller.stop()


@pytest.fixture
def sender(server, sink, tmp_path):
    server.start()
    # It comes back on the same address.
    server.address = server.listen
    sender = Sender(server, sink.port, tmp_path)
    yield sender
    if sender.process:
        sender.kill()


class Customers:
    """The calls of the shop."""

    def __init__(self, server):
        self.server = server
        self.connect()

    def connect(self):
        self.stub = profiles_pb2_grpc.ProfilesStub(self.server.channel())

    def join(self, name, subscribed=True):
        native = types_pb2.NativeAttributes(email_address=StringValue(value=address(name)))
        patch = types_pb2.AttributePatch(native=native, set={"first_name": types_pb2.Value(string=name.title())})
        request = profiles_pb2.IdentifyRequest(project="default", custom_id=name, attributes=patch)
        self.stub.Identify(request, timeout=20)
        if subscribed:
            self.choose(name, types_pb2.SUBSCRIPTION_STATE_SUBSCRIBED, "", "offers")

    def choose(self, name, state, *topics):
        changes = [
            profiles_pb2.SubscriptionChange(channel=types_pb2.CHANNEL_EMAIL, topic=topic, state=state)
            for topic in topics
        ]
        request = profiles_pb2.UpdateSubscriptionRequest(project="default", identifier=custom(name), changes=changes)
        request.source = types_pb2.CONSENT_SOURCE_USER
        self.stub.UpdateSubscription(request, timeout=20)

    def leave_cart(self, *names):
        for name in names:
            item = types_pb2.Object(fields={"sku": types_pb2.Value(string=f"shoe-of-{name}")})
            items = types_pb2.Value(objects=types_pb2.ObjectList(items=[item]))
            self.stub.Track(track(custom(name), event("cart_updated", attributes={"items": items})), timeout=20)

    def buy(self, *names):
        for name in names:
            self.stub.Track(track(custom(name), event("purchase")), timeout=20)

    def triggers(self):
        return self.stub.ListTriggers(profiles_pb2.ListTriggersRequest(project="default"), timeout=20).triggers


def click(link, method="POST", body=b"List-Unsubscribe=One-Click"):
    request = urllib.request.Request(link, data=body if method == "POST" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_each_left_cart_is_one_mail_over_kills_and_nobody_else_gets_one(server, sink, sender):
    shop = Customers(server)
    sender.start()
    assert wait_until(lambda: len(shop.triggers()) == 1), sender.said()
    mailed = [f"mailed-{number:02}" for number in range(10)]
    bought, silent, gone = ["bought-0", "bought-1"], ["silent-0", "silent-1"], ["gone-0"]
    for name in mailed + bought + gone + ["left-0", "nobody-0"]:
        shop.join(name)
    for name in silent:
        shop.join(name, subscribed=False)

    # The sender dies after the third mail has been taken, and before it knows that.
    sink.arrived = lambda number: sender.process.kill() if number == 3 else None
    shop.leave_cart(*mailed[:6], *bought, *silent, *gone, "left-0", "nobody-0")
    shop.buy(*bought)
    shop.choose("left-0", types_pb2.SUBSCRIPTION_STATE_UNSUBSCRIBED, "offers")
    shop.stub.EraseProfile(profiles_pb2.EraseProfileRequest(project="default", identifier=custom(gone[0])), timeout=20)
    assert wait_until(lambda: len(sink.mails) >= 3), sender.said()
    sender.process.wait(10)
    # Carts that are left while nobody follows are not lost either.
    shop.leave_cart(*mailed[6:])

    # The server dies with the seventh mail, and the sender lives on.
    died = threading.Event()

    def kill_server(number):
        if number >= 7 and not died.is_set():
            os.kill(server.pid, signal.SIGKILL)
            died.set()

    sink.arrived = kill_server
    sender.start()
    assert died.wait(20), sender.said()
    server.process.wait(10)
    server.start()
    shop.connect()
    wanted = sorted(address(name) for name in mailed)
    assert wait_until(lambda: sink.recipients() == wanted), (sink.recipients(), sender.said())
    assert wait_until(lambda: [trigger.pending for trigger in shop.triggers()] == [0]), sender.said()
    # Only the one that was taken when the sender died has come twice, as the same mail.
    ids = [sink.header(mail, "Message-ID") for mail in sink.mails]
    assert [one for one in set(ids) if ids.count(one) > 1] == [ids[2]] and len(ids) == len(mailed) + 1
    [mail, *_] = sink.to(mailed[0])
    assert "shoe-of-mailed-00" in mail[1] and "Hello Mailed-00," in mail[1]
    assert sink.header(mail, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"

    # One click, and the next cart is no mail; that of somebody else is.
    link = sink.header(mail, "List-Unsubscribe").strip("<>")
    assert "<button" in click(link, "GET")[1]
    assert click(link, body=b"other=1")[0] == 400 and click(link[:-3])[0] == 400
    assert click(f"http://{sender.site}/cart", "GET")[0] == 404
    assert click(link)[0] == click(link)[0] == 200
    shop.leave_cart(mailed[0], mailed[1])
    wanted = sorted(wanted + [address(mailed[1])])
    assert wait_until(lambda: sink.recipients() == wanted), (sink.recipients(), sender.said())
    time.sleep(0.5)
    assert sink.recipients() == wanted
    # A rejected mailbox is not tried again.
    assert "hard_bounce" in sender.said()
    check = profiles_pb2.CheckSendableRequest(project="default", identifier=custom("nobody-0"), topic="offers")
    check.channel, check.message_class = types_pb2.CHANNEL_EMAIL, types_pb2.MESSAGE_CLASS_MARKETING
    assert shop.stub.CheckSendable(check, timeout=20).reason == types_pb2.SENDABLE_REASON_HARD_BOUNCE


def test_a_mail_server_that_is_away_delays_mails_and_loses_none(server, sink, sender):
    shop = Customers(server)
    sender.words[sender.words.index("--smtp") + 1] = "127.0.0.1:1"
    sender.words[sender.words.index("--delay") + 1] = "0"
    sender.words += ["--unless", ""]
    sender.start()
    assert wait_until(lambda: len(shop.triggers()) == 1), sender.said()
    shop.join("anna")
    shop.leave_cart("anna")
    assert wait_until(lambda: "mail server: " in sender.said()), sender.said()
    sender.kill()
    sender.words[sender.words.index("--smtp") + 1] = f"127.0.0.1:{sink.port}"
    sender.start()
    assert wait_until(lambda: sink.recipients() == [address("anna")]), sender.said()
    assert len(shop.triggers()) == 1
