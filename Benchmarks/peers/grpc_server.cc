// The peer: Track of the same contract on gRPC C++, asynchronous, with one completion queue and one
// thread, as an example of gRPC has it.
//
// A Track counts the events of its person in a hash table and responds with as many results as a
// profile service has to. Nothing is validated, logged or durable.
//
// Usage: grpc_server PORT. Listens on 127.0.0.1.
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include <grpcpp/grpcpp.h>

#include "profiles/v1/profiles.grpc.pb.h"

namespace {

using profiles::v1::Profiles;
using profiles::v1::TrackRequest;
using profiles::v1::TrackResponse;

constexpr char kProfileID[] = "01J0000000000000000000000A";
constexpr char kEventID[] = "01J0000000000000000000000B";

// Calls that wait for a client at any time: more than the largest load has under way.
constexpr int kWaitingCalls = 4096;

struct Person {
    uint64_t revision = 0;
    std::map<std::string, uint64_t> counters;
};

struct State {
    Profiles::AsyncService service;
    std::unique_ptr<grpc::ServerCompletionQueue> queue;
    std::unordered_map<std::string, Person> people;
    uint64_t lsn = 0;
};

void Respond(State &state, const TrackRequest &request, TrackResponse *response) {
    using std::chrono::duration_cast;
    using std::chrono::microseconds;
    Person &person = state.people[request.identifier().custom_id()];
    const int64_t now =
        duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    for (const auto &event : request.events()) {
        person.revision += 1;
        person.counters[event.name()] += 1;
        auto *result = response->add_results();
        result->set_event_id(kEventID);
        result->set_status(profiles::v1::EVENT_STATUS_STORED);
        result->set_profile_id(kProfileID);
        result->set_lsn(++state.lsn);
        result->mutable_effective_time()->set_seconds(now / 1000000);
        result->mutable_effective_time()->set_nanos(static_cast<int>(now % 1000000) * 1000);
    }
    response->set_profile_id(kProfileID);
    response->set_revision(person.revision);
    response->set_lsn(state.lsn);
}

// One call, which waits for a client, responds, and is replaced by the next. It owns itself: the
// completion queue hands its address back, the last time when the response has left.
class Call {
  public:
    explicit Call(State &state) : state_(state), writer_(&context_) {
        state.service.RequestTrack(&context_, &request_, &writer_, state.queue.get(),
                                   state.queue.get(), this);
    }

    void Proceed(bool ok) {
        if (!ok || has_responded_) {
            delete this;
            return;
        }
        new Call(state_);
        TrackResponse response;
        Respond(state_, request_, &response);
        has_responded_ = true;
        writer_.Finish(response, grpc::Status::OK, this);
    }

  private:
    State &state_;
    grpc::ServerContext context_;
    TrackRequest request_;
    grpc::ServerAsyncResponseWriter<TrackResponse> writer_;
    bool has_responded_ = false;
};

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: grpc_server PORT\n"), 2;
    State state;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(std::string("127.0.0.1:") + argv[1],
                             grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&state.service);
    state.queue = builder.AddCompletionQueue();
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server || port == 0) return fprintf(stderr, "cannot listen on port %s\n", argv[1]), 1;
    for (int i = 0; i < kWaitingCalls; i++) new Call(state);
    void *tag;
    bool ok;
    while (state.queue->Next(&tag, &ok)) static_cast<Call *>(tag)->Proceed(ok);
}
