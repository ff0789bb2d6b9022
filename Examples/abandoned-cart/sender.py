#!/usr/bin/env python3
"""Mails people who have left a cart: follows a trigger of Profiles, and sends one mail for each firing.

A firing is delivered until it is acknowledged, so it may come twice: after a crash of this program, of the server or
of the network. It is acknowledged once its outcome is in a file, and its id is the mail's Message-ID.
`sender.py --help` lists the options; README.md says what a shop has to add.
"""

import argparse
import datetime
import email.message
import email.policy
import email.utils
import hashlib
import queue
import smtplib
import sqlite3
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from profiles.v1 import profiles_pb2 as p, profiles_pb2_grpc, types_pb2 as t

import unsubscribe

CALL_SECONDS = 10
# A stream is begun anew each hour, so that one to a server that has vanished does not wait for ever.
STREAM_SECONDS = 3_600
# Links are longer than the 78 characters at which headers are folded, and a folded link would be encoded.
WHOLE_LINES = email.policy.SMTP.clone(max_line_length=998)
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.2, 5
# What another attempt does not mend, such as a trigger that was deleted. Everything else is worth one.
FINAL = [
    getattr(grpc.StatusCode, name)
    for name in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
]
# Deliveries that wait here: what is left of them must be mailed within the trigger's time to acknowledge.
IN_FLIGHT_MAX = 20


class Outcomes:
    """What became of each firing: `sent`, or why not. On disk before the firing is acknowledged."""

    def __init__(self, path):
        self.file = sqlite3.connect(path, isolation_level=None)
        # A commit is on disk when it returns.
        self.file.execute("PRAGMA synchronous = FULL")
        self.file.execute("CREATE TABLE IF NOT EXISTS outcomes (firing_id TEXT PRIMARY KEY, outcome TEXT, at TEXT)")

    def find(self, firing_id):
        row = self.file.execute("SELECT outcome FROM outcomes WHERE firing_id = ?", [firing_id]).fetchone()
        return row and row[0]

    def keep(self, firing_id, outcome):
        at = datetime.datetime.now(datetime.timezone.utc).isoformat()
        self.file.execute("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?)", [firing_id, outcome, at])


class Shop:
    """The calls to Profiles."""

    def __init__(self, options):
        self.options = options
        self.stub = profiles_pb2_grpc.ProfilesStub(grpc.insecure_channel(options.server))
        self.metadata = []
        if options.key_file:
            with open(options.key_file) as file:
                self.metadata = [("authorization", f"Bearer {file.readline().strip()}")]

    def call(self, name, request):
        request.project = self.options.project
        return getattr(self.stub, name)(request, timeout=CALL_SECONDS, metadata=self.metadata)

    def trigger(self):
        """The id of the trigger: found by its definition, or made."""
        wanted = trigger_of(self.options)
        for found in self.call("ListTriggers", p.ListTriggersRequest()).triggers:
            if all(getattr(found, field.name) == value for field, value in wanted.ListFields()):
                return found.trigger_id
        # Two senders that start together make one trigger: the same request id, the same response.
        request_id = "abandoned-cart-" + hashlib.sha256(wanted.SerializeToString(deterministic=True)).hexdigest()[:32]
        request = p.CreateTriggerRequest(request_id=request_id, trigger=wanted)
        return self.call("CreateTrigger", request).trigger.trigger_id

    def why_not(self, who):
        """Why no mail may be sent to the person; empty: it may. The trigger's guard has asked already, but a firing may
        have waited here since."""
        request = p.CheckSendableRequest(identifier=who, channel=t.CHANNEL_EMAIL, topic=self.options.topic)
        request.message_class = t.MESSAGE_CLASS_MARKETING
        response = self.call("CheckSendable", request)
        return "" if response.sendable else t.SendableReason.Name(response.reason).lower()

    def profile(self, who):
        mask = {"paths": ["custom_id", "native", "attributes"]}
        return self.call("GetProfile", p.GetProfileRequest(identifier=who, read_mask=mask)).profile

    def unsubscribe_link(self, who):
        request = p.CreateUnsubscribeTokenRequest(identifier=who, channel=t.CHANNEL_EMAIL, topic=self.options.topic)
        return f"{self.options.site}/unsubscribe?token={self.call('CreateUnsubscribeToken', request).token}"

    def suppress(self, address):
        request = p.AddSuppressionRequest(channel=t.CHANNEL_EMAIL, address=address)
        request.reason = t.SUPPRESSION_REASON_HARD_BOUNCE
        self.call("AddSuppression", request)


def trigger_of(options):
    """The trigger: a cart, no purchase during the delay, and a person who may be mailed."""
    return p.Trigger(
        display_name="abandoned cart",
        event_name=options.event,
        filter=options.filter,
        delay_seconds=options.delay,
        unless_event_name=options.unless,
        guard_channel=t.CHANNEL_EMAIL,
        guard_topic=options.topic,
    )


def mail(options, firing, profile, link):
    """The mail of a firing: its Message-ID is made of the firing's id, so that a second copy is known for one."""
    items = [item.fields for item in firing.event.attributes["items"].objects.items]
    lines = [f"  {fields['sku'].string}" for fields in items if "sku" in fields] or ["  (your cart)"]
    name = profile.attributes["first_name"].string if "first_name" in profile.attributes else ""
    message = email.message.EmailMessage(WHOLE_LINES)
    message["From"] = options.sender
    message["To"] = profile.native.email_address.value
    message["Subject"] = "You left something in your cart"
    message["Date"] = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc))
    message["Message-ID"] = f"<{firing.firing_id.lower()}@{options.sender.rpartition('@')[2]}>"
    # One click, RFC 8058: the mail program posts to the link, without showing it to anybody.
    message["List-Unsubscribe"] = f"<{link}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(
        f"Hello{' ' + name if name else ''},\n\nthis is still in your cart:\n\n"
        + "\n".join(lines)
        + f"\n\n{options.site}/cart\n\nNo more such mails: {link}\n"
    )
    return message


class Sender:
    """Follows the trigger."""

    def __init__(self, options):
        self.options = options
        self.shop = Shop(options)
        self.outcomes = Outcomes(options.state)

    def follow(self):
        """Follows the trigger for ever: again after every loss of the stream."""
        pause, trigger_id = PAUSE_SECONDS, None
        while True:
            try:
                trigger_id = trigger_id or self.shop.trigger()
                for _ in self.stream(trigger_id):
                    pause = PAUSE_SECONDS
            except grpc.RpcError as error:
                if error.code() in FINAL:
                    raise
                say(f"{error.code().name}: {error.details()}; trying again")
            except (smtplib.SMTPException, OSError) as error:
                # Not acknowledged: the firing comes again when the mail server is back.
                say(f"mail server: {error}; trying again")
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def stream(self, trigger_id):
        """One stream of deliveries; acknowledges each when its outcome is on disk."""
        requests = queue.SimpleQueue()
        first = p.WatchTriggersRequest(project=self.options.project, trigger_id=trigger_id)
        first.in_flight_max = IN_FLIGHT_MAX
        requests.put(first)
        metadata = self.shop.metadata
        call = self.shop.stub.WatchTriggers(iter(requests.get, None), timeout=STREAM_SECONDS, metadata=metadata)
        try:
            for delivery in call:
                if not delivery.heartbeat:
                    self.handle(delivery)
                    requests.put(p.WatchTriggersRequest(acknowledged_firing_ids=[delivery.firing_id]))
                yield delivery
        finally:
            call.cancel()
            requests.put(None)

    def handle(self, firing):
        if self.outcomes.find(firing.firing_id) is None:
            outcome = self.send(firing)
            self.outcomes.keep(firing.firing_id, outcome)
            say(f"{firing.firing_id} {outcome}")

    def send(self, firing):
        """Sends the mail of a firing; returns the outcome."""
        who = t.Identifier(profile_id=firing.profile_id)
        try:
            if reason := self.shop.why_not(who):
                return reason
            profile, link = self.shop.profile(who), self.shop.unsubscribe_link(who)
        except grpc.RpcError as error:
            # Erased in the meantime, or no longer to be found for another reason.
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return "not_found"
            raise
        message = mail(self.options, firing, profile, link)
        host, _, port = self.options.smtp.rpartition(":")
        try:
            with smtplib.SMTP(host, int(port), timeout=CALL_SECONDS) as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            [(code, _)] = refused.recipients.values()
            if not 500 <= code < 600:
                raise
            self.shop.suppress(message["To"])
            return "hard_bounce"
        return "sent"


def say(text):
    print(text, file=sys.stderr, flush=True)


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", default="127.0.0.1:50051", help="Profiles (%(default)s)")
    parser.add_argument("--project", default="default", help="(%(default)s)")
    parser.add_argument("--key-file", help="a key with the scopes read and write, if the server wants one")
    parser.add_argument("--event", default="cart_updated", help="the event of a cart (%(default)s)")
    parser.add_argument("--unless", default="purchase", help="the event after which no mail is due (%(default)s)")
    parser.add_argument("--filter", default="", help="which carts, such as 'event.total > 50'")
    parser.add_argument("--delay", type=int, default=1_800, help="seconds from cart to mail (%(default)s)")
    parser.add_argument("--topic", default="offers", help="what people agreed to, on EMAIL (%(default)s)")
    parser.add_argument("--smtp", default="127.0.0.1:8025", help="the mail server (%(default)s)")
    parser.add_argument("--sender", default="shop@shop.example", help="(%(default)s)")
    parser.add_argument("--state", default="abandoned-cart.sqlite", help="the file of outcomes (%(default)s)")
    parser.add_argument("--site", default="http://127.0.0.1:8080", help="where links lead to (%(default)s)")
    parser.add_argument("--listen", default="127.0.0.1:8080", help="serves the unsubscribe links (%(default)s)")
    return parser.parse_args(arguments)


def main():
    options = options_of(sys.argv[1:])
    sender = Sender(options)
    pages = unsubscribe.server(options.listen, sender.shop.call)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    # It may be ended at any moment: what is not acknowledged comes again.
    try:
        sender.follow()
    except KeyboardInterrupt:
        pass
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
