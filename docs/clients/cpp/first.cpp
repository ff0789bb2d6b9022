// Stores a purchase and reads the person back. Usage: first [HOST:PORT]
#include <chrono>
#include <iostream>

#include <grpcpp/grpcpp.h>

#include "profiles/v1/profiles.grpc.pb.h"

using namespace profiles::v1;

static void set_deadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
}

int main(int count, char** arguments) {
    auto channel = grpc::CreateChannel(count > 1 ? arguments[1] : "127.0.0.1:50051", grpc::InsecureChannelCredentials());
    auto stub = Profiles::NewStub(channel);

    TrackRequest track;
    track.set_project("default");
    track.mutable_identifier()->set_custom_id("anna");
    Event* purchase = track.add_events();
    purchase->set_event_id("order-1001");
    purchase->set_name("purchase");
    (*purchase->mutable_attributes())["amount"].set_number(59.9);
    (*purchase->mutable_attributes())["currency"].set_string("EUR");
    TrackResponse stored;
    grpc::ClientContext first;
    set_deadline(first);
    // A failed status carries google.rpc.Status in error_details().
    if (auto status = stub->Track(&first, track, &stored); !status.ok()) {
        std::cerr << status.error_message() << "\n";
        return 1;
    }
    std::cout << EventStatus_Name(stored.results(0).status()) << " at lsn " << stored.lsn() << "\n";

    GetProfileRequest get;
    get.set_project("default");
    get.mutable_identifier()->set_custom_id("anna");
    GetProfileResponse read;
    grpc::ClientContext second;
    set_deadline(second);
    if (auto status = stub->GetProfile(&second, get, &read); !status.ok()) {
        std::cerr << status.error_message() << "\n";
        return 1;
    }
    std::cout << read.profile().custom_id() << " has " << read.profile().event_counters(0).count() << " purchase\n";
}
