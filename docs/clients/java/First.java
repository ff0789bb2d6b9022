import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.util.concurrent.TimeUnit;
import profiles.v1.ProfilesGrpc;
import profiles.v1.ProfilesOuterClass.GetProfileRequest;
import profiles.v1.ProfilesOuterClass.TrackRequest;
import profiles.v1.Types.Event;
import profiles.v1.Types.Identifier;
import profiles.v1.Types.Value;

/** Stores a purchase and reads the person back. */
public final class First {
    public static void main(String[] arguments) throws InterruptedException {
        ManagedChannel channel = Grpc.newChannelBuilder("127.0.0.1:50051", InsecureChannelCredentials.create()).build();
        try {
            ProfilesGrpc.ProfilesBlockingStub stub = ProfilesGrpc.newBlockingStub(channel).withDeadlineAfter(5, TimeUnit.SECONDS);
            Identifier anna = Identifier.newBuilder().setCustomId("anna").build();
            Event purchase = Event.newBuilder().setEventId("order-1001").setName("purchase")
                .putAttributes("amount", Value.newBuilder().setNumber(59.9).build())
                .putAttributes("currency", Value.newBuilder().setString("EUR").build())
                .build();
            var response = stub.track(TrackRequest.newBuilder().setProject("default").setIdentifier(anna).addEvents(purchase).build());
            System.out.println(response.getResults(0).getStatus() + " at lsn " + response.getLsn());
            var profile = stub.getProfile(GetProfileRequest.newBuilder().setProject("default").setIdentifier(anna).build()).getProfile();
            System.out.println(profile.getCustomId() + " has " + profile.getEventCounters(0).getCount() + " purchase");
        } finally {
            channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
        }
    }
}
