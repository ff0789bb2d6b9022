"""The pages behind the links of the mails: one-click unsubscribe (RFC 8058).

A mail program posts `List-Unsubscribe=One-Click` to the link of the header; a person who opens the link in the text
sees a button. A GET changes nothing: scanners of mails open every link.
"""

import html
import http.server
import urllib.parse

import grpc
from profiles.v1 import profiles_pb2 as p, types_pb2 as t

FORM_BYTES_MAX = 4_096
PAGE = "<!doctype html><meta charset=utf-8><title>Unsubscribe</title><p>{}"
BUTTON = "<form method=post><button name=List-Unsubscribe value=One-Click>No more such mails</button></form>"


def server(listen, call):
    """An HTTP server for the links.

    - call: Calls an RPC of Profiles by its name.
    """
    host, _, port = listen.rpartition(":")
    pages = http.server.ThreadingHTTPServer((host, int(port)), Pages)
    pages.call = call
    return pages


class Pages(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def token(self):
        """The token of the link; empty if it is another page."""
        link = urllib.parse.urlsplit(self.path)
        if link.path != "/unsubscribe":
            return ""
        return urllib.parse.parse_qs(link.query).get("token", [""])[0]

    def show(self, status, text):
        page = PAGE.format(text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_GET(self):
        self.show(200, BUTTON) if self.token() else self.show(404, "There is no such page.")

    def do_POST(self):
        token = self.token()
        if not token:
            return self.show(404, "There is no such page.")
        length = self.headers.get("Content-Length", "")
        form = self.rfile.read(int(length)) if length.isdigit() and int(length) <= FORM_BYTES_MAX else b""
        if urllib.parse.parse_qs(form.decode("latin-1")).get("List-Unsubscribe") != ["One-Click"]:
            return self.show(400, "This link unsubscribes by its button.")
        evidence = t.Evidence(
            method="one-click link", ip=self.client_address[0], user_agent=self.headers.get("User-Agent", "")[:200]
        )
        try:
            # Idempotent, so a second click is the same as the first.
            self.server.call("RedeemUnsubscribeToken", p.RedeemUnsubscribeTokenRequest(token=token, evidence=evidence))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                return self.show(400, f"This link is not valid: {html.escape(error.details())}")
            # Mail programs try again.
            return self.show(503, "Please try again in a moment.")
        self.show(200, "You will get no more such mails.")

    def log_message(self, *_):
        """Tokens are secrets: nothing of a link is logged."""
